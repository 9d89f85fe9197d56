"""File names made from untrusted texts: safe on every file system."""

from __future__ import annotations

import base64
import hashlib
import re

COUNTED_KEY = re.compile(r"([0-9a-f]{24})#([0-9]+)")
"""The key of an item without an id: the fingerprint of its request, and its number among equal ones."""

# Only lower case: on macOS and Windows `Cat` and `cat` are one file.
_PLAIN_STEM = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9_-])?")
# Windows uses these names for devices, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def safe_name(task_id: str) -> str:
    """A file name made from an untrusted id: no separator, no leading dot, at most 100 characters."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in task_id)
    return kept.lstrip(".")[:100] or "task"


def file_stem(key: str) -> str:
    """A file name without ending, made from an id or a counted key. It is safe on every file system, and each
    key has its own.

    A plain id is its own name. Any other id gets `~` and its hash; no plain id contains that sign.
    """
    if counted := COUNTED_KEY.fullmatch(key):
        return f"{counted[1]}~{counted[2]}"
    device = _DEVICE.fullmatch(key.lower())
    if _PLAIN_STEM.fullmatch(key) and not device:
        return key
    digest = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode()[:12].lower()
    return f"{'_' if device else ''}{safe_name(key).strip('-._') or 'item'}~{digest}"
