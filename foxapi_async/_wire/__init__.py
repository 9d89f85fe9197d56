"""What the service says, without I/O."""
