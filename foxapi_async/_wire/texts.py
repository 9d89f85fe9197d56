"""Texts that come from strangers, made safe to show."""

from __future__ import annotations


def shorten(text: str, limit: int = 300) -> str:
    """A stranger's text on one line, printable and not too long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def short(value: object) -> str:
    """A value as a message shows it."""
    return shorten(repr(value), 80)
