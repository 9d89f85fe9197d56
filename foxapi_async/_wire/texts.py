"""Makes untrusted texts safe to show."""

from __future__ import annotations


def shorten(text: str, limit: int = 300) -> str:
    """An untrusted text on one line, printable and shortened."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def short(value: object) -> str:
    """The value's `repr`, shortened for a message."""
    return shorten(repr(value), 80)
