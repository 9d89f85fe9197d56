"""Single values: how a message or a repr shows one, and the allowed items of a list of images."""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from foxapi_async._hints import Hint

ImageInput: TypeAlias = str | os.PathLike[str]
"""An input image: an http(s) URL or `data:` URI as a string, or a local file as a path. A string is never a path."""

FieldValue: TypeAlias = Mapping[str, Any] | list[Any] | tuple[Any, ...] | str | int | float | bool | None
"""The value of a field in a mapping that is a request. Items and members may be of any type."""

NOT_UTF8 = "has a lone surrogate, which cannot be sent as UTF-8"

_SCHEME = re.compile(r"https?:|data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
# RFC 2397: the comma before the data is required, and everything before it may be left out. That part is
# a media type. The limit keeps the search short in a text of megabytes without a comma.
_DATA_URI = re.compile(r"data:[^,\s]{0,1000},\S", re.IGNORECASE)

_LONGEST_TEXT = 60


class _ShortRepr(reprlib.Repr):
    """Python's spelling of a value, shortened."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = _LONGEST_TEXT
        self.maxdict = 20


class _ShortJson(_ShortRepr):
    """JSON's spelling, shortened. A value that JSON does not know, such as a path, has Python's spelling."""

    def repr_str(self, x: str, _: int) -> str:
        if len(x) > _LONGEST_TEXT:
            half = _LONGEST_TEXT // 2 - 1
            x = f"{x[:half]}...{x[-half:]}"
        plain = (char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1] for char in x)
        return f'"{"".join(plain)}"'

    def repr_tuple(self, x: tuple[object, ...], level: int) -> str:
        return self.repr_list(list(x), level)

    def repr_bool(self, x: bool, _: int) -> str:  # noqa: FBT001 - the base class calls it
        return str(x).lower()

    def repr_NoneType(self, _: None, __: int) -> str:  # noqa: N802 - the base class calls it
        return "null"


_PYTHON, _JSON = _ShortRepr(), _ShortJson()


def _spelled(spelling: reprlib.Repr, value: object) -> str:
    try:
        return spelling.repr(value)
    except ValueError:  # Python refuses to print an integer of more than 4300 digits
        return f"<{type(value).__name__} too long to show>"


def shown(value: object) -> str:
    """The value for a message, shortened to a few lines. The spelling of JSON is good for Python, a shell and HTTP."""
    return _spelled(_JSON, value)


def short_repr(value: object) -> str:
    """The value for the repr of an object, shortened to a few lines."""
    return _spelled(_PYTHON, value)


def listed(values: Iterable[object]) -> str:
    """The values for a message, in the spelling of JSON."""
    return ", ".join(map(shown, values))


def has_scheme(text: str) -> bool:
    """Whether a text looks like an address, even a wrong one, and not like a file's path."""
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
    """What can be done about an item with a fault. A frequent fault is the path of a local file as a text."""
    is_path = not isinstance(item, str) or (bool(item.strip()) and not has_scheme(item))
    return Hint.WRAP_FILE if is_path else None
