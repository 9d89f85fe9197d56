"""Each public name once. There are three modules, so that an error needs no aiohttp, and a session no SQLite."""
