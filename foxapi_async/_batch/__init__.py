"""Does each item of a batch once, and keeps account of it."""
