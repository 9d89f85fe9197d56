"""Rules without I/O: what may be sent again, and what it may have cost."""
