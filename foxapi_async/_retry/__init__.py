"""Repeats requests, and limits their rate. The only package that imports backoff."""
