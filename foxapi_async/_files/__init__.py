"""Saves result files to disk, and reads input files from disk."""
