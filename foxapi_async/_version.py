"""The version. Only this file has it: the build reads it, and importing it is fast."""

__version__ = "0.1.0"
