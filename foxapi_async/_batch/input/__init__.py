"""Reads and checks the input of a batch."""
