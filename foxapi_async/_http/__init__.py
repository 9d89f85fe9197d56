"""Sends and receives bytes. Only this package and the emulator import aiohttp."""
