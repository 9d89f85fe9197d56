"""One running session."""
