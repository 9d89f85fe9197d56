"""Decides when to poll next, without I/O."""
