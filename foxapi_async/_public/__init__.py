"""The public names, in three modules, so that an error imports no aiohttp, and a session no SQLite."""
