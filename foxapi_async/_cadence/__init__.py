"""When to look next: pure."""
