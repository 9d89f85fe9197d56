"""The names of files: a safe stem made from untrusted texts, and the ending for the content."""

from __future__ import annotations

import base64
import codecs
import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

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
    """A file name without ending, made from an id or a counted key. It is safe on every file system, and no two
    keys get the same name.

    A plain id is its own name. Any other id gets `~` and its hash. No plain id contains `~`.
    """
    if counted := COUNTED_KEY.fullmatch(key):
        return f"{counted[1]}~{counted[2]}"
    device = _DEVICE.fullmatch(key.lower())
    if _PLAIN_STEM.fullmatch(key) and not device:
        return key
    return f"{'_' if device else ''}{safe_name(key).strip('-._') or 'item'}~{_digest(key)}"


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:12].lower()


# Names with fields, for the images of a task: `{id}` is the task's id, `{n}` the image's number in its task.

DEFAULT_NAME = "{id}-{n}"

_FIELD = re.compile(r"\{([^{}]*)\}")
# Windows allows none of these in a name.
_NOT_IN_NAMES = frozenset('/\\:*?"<>|{}')
_NAME_BYTES = 120
_PROMPT_LENGTH = 60


def name_problem(name: str, fields: Sequence[str]) -> str | None:
    """What is wrong with a name that may have these fields; None if it can be used."""
    text = _FIELD.sub("", name)
    bad = next((c for c in text if c in _NOT_IN_NAMES or not c.isprintable()), None)
    if unknown := [field for field in _FIELD.findall(name) if field not in fields]:
        return (
            f"{{{unknown[0]}}} is not a field; the fields are {', '.join(f'{{{field}}}' for field in fields)}"
        )
    if bad is not None:
        return f"a name cannot have {bad!r} in it"
    if not name.strip() or name.startswith("."):
        return "a name cannot be empty or begin with a dot"
    if has_ending(Path(name)):
        return f"give a name without {Path(name).suffix}, because the content decides the ending"
    return f"a name can have at most {_NAME_BYTES} bytes" if len(name.encode()) > _NAME_BYTES else None


def with_prompt(name: str, prompt: str) -> str:
    """The name with the words of the prompt in place of `{prompt}`.

    A prompt gets `~` and its hash if it is long, or not ASCII, because part of it is lost then.
    """
    words = re.sub(r"[^A-Za-z0-9-]+", "_", prompt).strip("_-")
    if not words or len(words) > _PROMPT_LENGTH or not prompt.isascii():
        words = f"{words[: _PROMPT_LENGTH - 13].strip('_-') or 'prompt'}~{_digest(prompt)}"
    return name.replace("{prompt}", words)


def image_stem(name: str, task_id: str, n: int, count: int) -> str:
    """The file name without ending of the n-th of `count` images of a task.

    If there are several images, a name without `{n}` gets `-{n}` at its end.
    """
    if count > 1 and "{n}" not in name:
        name += "-{n}"
    stem = name.replace("{n}", str(n)).replace("{id}", safe_name(task_id))
    return f"_{stem}" if _DEVICE.fullmatch(stem.lower()) else stem


# Endings. The ending of the URL may be wrong, and the Content-Type is often generic, so the first bytes decide.

# (offset, bytes, ending), from the formats' own specifications; the first match decides.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (8, b"WEBP", ".webp"),
    (0, b"GIF8", ".gif"),
    (0, b"BM", ".bmp"),
    (0, b"II*\x00", ".tiff"),
    (0, b"MM\x00*", ".tiff"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    (0, b"PK\x03\x04", ".zip"),
    (0, b"%PDF-", ".pdf"),
    (0, b"ID3", ".mp3"),
    (0, b"\xff\xfb", ".mp3"),
    (8, b"WAVE", ".wav"),
    (0, b"OggS", ".ogg"),
    (0, b"fLaC", ".flac"),
)

# These signatures are so short that a text may begin with them.
_SHORT = {".bmp", ".mp3"}

# An ISO media file names its main brand and then its compatible brands (ISO/IEC 14496-12 section 4.3). HEIF's own
# brands `mif1` and `msf1` do not name the codec (ISO/IEC 23008-12). So these brands are checked first.
_BRANDS: tuple[tuple[frozenset[bytes], str], ...] = (
    (frozenset({b"avif", b"avis"}), ".avif"),
    (frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}), ".heic"),
)
_HEIF = frozenset({b"mif1", b"msf1"})

_TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heif": ".heic",
    "image/svg+xml": ".svg",
    "video/mp4": ".mp4",
    "audio/mpeg": ".mp3",
    "application/zip": ".zip",
}

_OTHER_TYPES = {
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "video/webm": ".webm",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "application/ogg": ".ogg",
    "application/pdf": ".pdf",
}

ENDINGS = tuple(sorted({ending for _, _, ending in _SIGNATURES} | set(_TYPES.values()) | {".bin"}))
"""Every ending that `ending` may return."""

_OTHER_ENDINGS = (
    ".jpeg .jpe .jfif .tif .heif .apng .ico .mov .m4v .m4a .mkv .aac .opus .glb .gltf .obj .json .txt"
)
_KNOWN = frozenset({*ENDINGS, *_OTHER_ENDINGS.split()})


# What a file with this ending may hold. A container of MPEG-4, WebM or Ogg may hold only sound.
_MEDIA = {
    **dict.fromkeys((".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff", ".avif", ".heic", ".svg"), ("image",)),
    **dict.fromkeys((".mp4", ".webm", ".ogg"), ("video", "audio")),
    **dict.fromkeys((".mp3", ".wav", ".flac"), ("audio",)),
    ".pdf": ("document",),
    ".zip": ("archive", "document"),
}


def media_of(file_ending: str | None) -> Collection[str]:
    """What a file with this ending may hold, such as "image" or "audio"; empty if that is not known."""
    return _MEDIA.get(file_ending or "", ())


def media_type(file_ending: str) -> str:
    """The media type of files with this ending."""
    found = (kind for kind, name in (*_TYPES.items(), *_OTHER_TYPES.items()) if name == file_ending)
    return next(found, "application/octet-stream")


def ending_of(file_format: str) -> str:
    """The ending of the files of a format, such as "jpeg"."""
    return _TYPES.get(f"image/{file_format}", f".{file_format}")


def has_ending(path: Path) -> bool:
    """Whether a name has the ending of a file type. "portrait of Dr. Fox" has none."""
    return path.suffix.lower() in _KNOWN


def ending(head: bytes, content_type: str | None) -> str | None:
    """The file name ending for content that begins with `head`; None for a text or web page.

    The bytes decide. If they are unknown, the declared type decides. If that is unknown too, the ending is `.bin`.
    """
    declared = (content_type or "").partition(";")[0].strip().lower()
    if head[4:8] == b"ftyp":
        return _media_ending(head, declared)
    name = next((name for place, bytes_, name in _SIGNATURES if head.startswith(bytes_, place)), None)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if name in _SHORT and _is_text(head):
        name = None
    if name is not None or not _NOT_IN_TEXT.isdisjoint(head):
        return name or _TYPES.get(declared, ".bin")
    if text[:1] == b"<" and _is_drawing(text, declared):
        return ".svg"
    names_text = declared.startswith("text/") or declared in {"application/json", "application/xml"}
    is_refused = text[:1] in {b"", b"<", b"{", b"["} or names_text or (declared in _TYPES and _is_text(head))
    return None if is_refused else _TYPES.get(declared, ".bin")


def is_words(head: bytes) -> bool:
    """Whether content that begins with `head` is a text in any encoding, and neither a drawing nor another known type."""
    is_text = _NOT_IN_TEXT.isdisjoint(head) or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # A damaged PNG is not a text. The service reports what is wrong with it.
    return is_text and ending(head, None) in {None, ".bin", *_SHORT} and not head.startswith(b"\x89PNG")


def _media_ending(head: bytes, declared: str) -> str:
    """The ending for an ISO media file, by all of its brands, then by the declared type."""
    size = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4))}
    named = (name for known, name in _BRANDS if not known.isdisjoint(brands))
    other = _TYPES.get(declared, ".heic") if not _HEIF.isdisjoint(brands) else ".mp4"
    return next(named, other)


# The root element or the document type of an SVG, after a declaration and comments.
_DRAWING = re.compile(
    rb"(?>\s|<\?[^>]*>|<!--(?s:.*?)-->)*+<(?:!doctype\s+|[\w.-]+:)?svg(?![\w.-])", re.IGNORECASE
)


def _is_drawing(text: bytes, declared: str) -> bool:
    """Whether markup is an SVG image: its root element says so, or its declared type, if it is not a web page."""
    is_page = text.lower().startswith((b"<!doctype html", b"<html"))
    return _DRAWING.match(text) is not None or (declared == "image/svg+xml" and not is_page)


def _is_text(head: bytes) -> bool:
    """Whether the bytes are UTF-8, without bytes that text never has."""
    try:
        codecs.utf_8_decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return _NOT_IN_TEXT.isdisjoint(head)


# The "binary data bytes" of the WHATWG's MIME Sniffing Standard. Text has none of them.
_NOT_IN_TEXT = frozenset({*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)})
