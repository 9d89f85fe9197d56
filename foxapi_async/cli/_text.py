"""Texts from strangers, made fit for a terminal, and small things said the same way everywhere."""

from __future__ import annotations

import shlex


def plain(text: object) -> str:
    """The text in one line without anything that a terminal would obey: control characters become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def elided(text: str, room: int) -> str:
    """The text in at most `room` characters, its middle left out; ids differ at their ends."""
    if len(text) <= room:
        return text
    tail = (room - 1) // 2
    return f"{text[: room - 1 - tail]}…{text[-tail:]}"


def duration(seconds: float) -> str:
    """Seconds for a reader: "7 s", "2:05 min", "3:20 h"."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def grouped(number: float) -> str:
    """A number for a reader: "12,345", "0.5"; at most two decimals."""
    text = f"{number:,.2f}"
    return text.rstrip("0").rstrip(".")


def counted(count: int, thing: str) -> str:
    """A count with its noun: "1 image", "2 images"."""
    return f"{count} {thing}" if count == 1 else f"{count:,} {thing}s"


def resume_command(task_id: str, out: str, *, overwrite: bool = False) -> str:
    """The command that goes on with a task."""
    options = ["--out", out, *(["--overwrite"] if overwrite else [])]
    # An id that begins with a dash would be read as an option.
    rest = [*options, "--", task_id] if task_id.startswith("-") else [task_id, *options]
    return shlex.join(["foxapi", "wait", *rest])
