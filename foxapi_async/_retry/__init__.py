"""Repeats requests, and lets them go in turn. The only package that imports backoff."""
