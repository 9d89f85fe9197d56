"""Bytes; alone with aiohttp."""
