"""The public names, in three modules. So importing an error does not import aiohttp or SQLite, and importing a session
does not import SQLite.
"""
