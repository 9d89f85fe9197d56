"""Runs each item of a batch once, and records it."""
