"""What may be sent again, and what it may have cost: pure."""
