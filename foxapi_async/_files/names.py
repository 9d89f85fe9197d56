"""The names of files: a safe stem made from an untrusted text, and the ending for the content."""

from __future__ import annotations

import base64
import codecs
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

    A plain id is its own name. Any other id gets `~` and its hash. No plain id contains `~`.
    """
    if counted := COUNTED_KEY.fullmatch(key):
        return f"{counted[1]}~{counted[2]}"
    device = _DEVICE.fullmatch(key.lower())
    if _PLAIN_STEM.fullmatch(key) and not device:
        return key
    digest = base64.b32encode(hashlib.sha256(key.encode()).digest()).decode()[:12].lower()
    return f"{'_' if device else ''}{safe_name(key).strip('-._') or 'item'}~{digest}"


# Endings. The ending of the URL may be wrong, and the Content-Type is often generic, so the first bytes decide.

# (offset, bytes, ending), from the formats' own specifications; the first match decides.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (8, b"WEBP", ".webp"),
    (0, b"GIF8", ".gif"),
    (4, b"ftypavif", ".avif"),
    (4, b"ftypheic", ".heic"),
    (0, b"BM", ".bmp"),
    (0, b"II*\x00", ".tiff"),
    (0, b"MM\x00*", ".tiff"),
    (4, b"ftyp", ".mp4"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    (0, b"PK\x03\x04", ".zip"),
    (0, b"%PDF-", ".pdf"),
    (0, b"ID3", ".mp3"),
    (0, b"\xff\xfb", ".mp3"),
    (8, b"WAVE", ".wav"),
    (0, b"OggS", ".ogg"),
    (0, b"fLaC", ".flac"),
)

_TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/svg+xml": ".svg",
    "video/mp4": ".mp4",
    "audio/mpeg": ".mp3",
    "application/zip": ".zip",
}

ENDINGS = tuple(sorted({ending for _, _, ending in _SIGNATURES} | set(_TYPES.values()) | {".bin"}))
"""Every ending that `ending` may return."""


def ending(head: bytes, content_type: str | None) -> str | None:
    """The file name ending for content that begins with `head`; None for a text or web page.

    The bytes decide. If they are unknown, the declared type decides. If that is unknown too, the ending is `.bin`.
    """
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared == "image/svg+xml":
        return ".svg" if _is_drawing(head) else None
    if declared in _TYPES:
        return None if _is_markup(head) or _is_plain_text(head) else _TYPES[declared]
    is_text = declared.startswith("text/") or declared in {"application/json", "application/xml"}
    return None if is_text or _is_markup(head) else ".bin"


def _is_markup(head: bytes) -> bool:
    """Whether the bytes begin like markup or JSON, or are empty."""
    return _text(head)[:1] in {b"", b"<", b"{", b"["}


def _is_drawing(head: bytes) -> bool:
    """Whether the bytes begin like markup that is not a web page."""
    return _text(head)[:1] == b"<" and not _text(head).lower().startswith((b"<!doctype html", b"<html"))


def _is_plain_text(head: bytes) -> bool:
    """Whether the bytes are plain text: UTF-8, without bytes that text never has. No type of `_TYPES` is."""
    try:
        codecs.utf_8_decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return _NOT_IN_TEXT.isdisjoint(head)


def _text(head: bytes) -> bytes:
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


# The "binary data bytes" of the WHATWG's MIME Sniffing Standard.
_NOT_IN_TEXT = frozenset({*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)})
