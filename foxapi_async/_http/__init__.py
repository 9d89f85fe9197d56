"""Sends and receives bytes. The only package that imports aiohttp."""
