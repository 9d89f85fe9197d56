"""Single values: how a message shows one, and the allowed items of a list of images."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from foxapi_async._hints import Hint

ImageInput: TypeAlias = str | os.PathLike[str]
"""An input image: an http(s) URL or `data:` URI as a string, or a local file as a path. A string is never a path."""

FieldValue: TypeAlias = Mapping[str, Any] | list[Any] | tuple[Any, ...] | str | int | float | bool | None
"""A field of a mapping that is a request. Items and members may be anything."""

NOT_UTF8 = "has a lone surrogate, which cannot be sent as UTF-8"

_SCHEME = re.compile(r"https?:|data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
# RFC 2397: the comma before the data is required, and everything before it may be left out. That part is
# a media type. The limit keeps the search short in megabytes without a comma.
_DATA_URI = re.compile(r"data:[^,\s]{0,1000},\S", re.IGNORECASE)

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxdict = 20


def shown(value: object) -> str:
    """The value for a message or a repr, shortened to a few lines."""
    try:
        return _short.repr(value)
    except ValueError:  # Python refuses to print an integer of more than 4300 digits
        return f"<{type(value).__name__} too long to show>"


def has_scheme(text: str) -> bool:
    """Whether a text has the form of an address, even a wrong one, and not of a file's path."""
    return bool(_SCHEME.match(text))


def is_sendable(text: str) -> bool:
    """Whether UTF-8 can encode the text. It cannot encode a lone surrogate (from a file name, for example)."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_images(images: Iterable[ImageInput] | None) -> tuple[ImageInput, ...] | None:
    """A tuple from any iterable. A value that cannot be a list of images stays unchanged, so that the check
    can name it.
    """
    if isinstance(images, Iterable) and not isinstance(
        images, str | bytes | bytearray | os.PathLike | Mapping
    ):
        return tuple(images)
    return images  # type: ignore[return-value]


def image_fault(item: object) -> str | None:
    """The fault of one item of a list of images; None if it is valid."""
    if isinstance(item, os.PathLike):
        return None
    if not isinstance(item, str):
        return "an image is a URL as text"
    if not is_sendable(item):
        return NOT_UTF8
    if _WEB_ADDRESS.fullmatch(item) or _DATA_URI.match(item):
        return None
    return "neither an http(s) URL nor a data URI"


def image_hint(item: object) -> Hint | None:
    """What can be done about an item with a fault: a path of a local file as a text is a frequent one."""
    is_path = not isinstance(item, str) or (bool(item.strip()) and not has_scheme(item))
    return Hint.WRAP_FILE if is_path else None
