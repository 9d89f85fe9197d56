"""What a file is by its first bytes: the URL's ending may be wrong, and the Content-Type often is generic."""

from __future__ import annotations

# (offset, bytes, ending), from the formats' own specifications; the first that fits wins.
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
"""Every ending that `ending` may give."""


def ending(head: bytes, content_type: str | None) -> str | None:
    """The file name ending for content that begins with `head`; None for a text or web page.

    Bytes decide; the declared type is asked only where they are unknown; `.bin` is what neither knows.
    """
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared in _TYPES:
        return _TYPES[declared] if declared == "image/svg+xml" or not _is_text(head) else None
    is_text = (
        declared.startswith("text/") or declared in {"application/json", "application/xml"} or _is_text(head)
    )
    return None if is_text else ".bin"


def _is_text(head: bytes) -> bool:
    """Whether the bytes begin like markup or JSON, or are nothing at all."""
    return head.lstrip()[:1] in {b"<", b"{", b"["} or not head.strip()
