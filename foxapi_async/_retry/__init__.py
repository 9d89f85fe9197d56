"""Sends again, and in turn; alone with backoff."""
