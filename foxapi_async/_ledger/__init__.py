"""Records durably what was sent and how it ended."""
