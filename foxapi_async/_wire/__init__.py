"""Reads and writes the service's messages, without I/O."""
