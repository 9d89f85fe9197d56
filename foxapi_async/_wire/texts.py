"""Texts for people. Makes untrusted texts safe to show, and formats numbers in one way everywhere."""

from __future__ import annotations


def plain(text: object) -> str:
    """The text in one line. Control characters, which a terminal would obey, become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def shorten(text: str, limit: int = 300) -> str:
    """An untrusted text on one line, printable and shortened."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def short(value: object) -> str:
    """The value's `repr`, shortened for a message."""
    return shorten(repr(value), 80)


def elided(text: str, room: int) -> str:
    """The text in at most `room` characters. Its middle is left out, because ids differ at their ends."""
    if len(text) <= room:
        return text
    tail = (room - 1) // 2
    return f"{text[: room - 1 - tail]}…{text[-tail:]}"


def duration(seconds: float, form: str = ".0f") -> str:
    """Seconds for a reader: "7 s", "2:05 min", "3:20 h"; `form` is the format below a minute."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:{form}} s"
    return (
        f"{whole // 60}:{whole % 60:02} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02} h"
    )


def rough_duration(seconds: float) -> str:
    """An expected time for a reader: "7 s", "14 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{grouped(round(seconds / 3600, 1))} h"


def grouped(number: float) -> str:
    """A number for a reader: "12,345", "0.5"; at most two decimals."""
    text = f"{number:,.2f}"
    return text.rstrip("0").rstrip(".")


def counted(count: float, thing: str) -> str:
    """A count with its noun: "1 image", "2 images"."""
    return f"{grouped(count)} {thing}{'' if count == 1 else 's'}"
