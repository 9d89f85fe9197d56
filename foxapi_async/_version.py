"""The version, here alone: the build reads it, and importing it costs nothing."""

__version__ = "0.1.0"
