"""What was sent and how it ended, durably."""
