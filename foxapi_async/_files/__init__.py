"""Result files to disk, input files from disk."""
