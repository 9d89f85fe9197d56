"""The part of a file that a client asks for."""

from __future__ import annotations

import re
from typing import Any

import attrs

from foxapi_async._errors import FoxError
from foxapi_async._files.resume import PartialFile

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


class NoSuchPartError(FoxError):
    """A file has none of the bytes that a client asks for.

    Attributes:
        total: the length of the file in bytes.
    """

    def __init__(self, message: str = "", *, total: int = 0, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.total = total


@attrs.frozen
class AskedRange:
    """A part of a file as a client asks for it (RFC 9110 section 14.1.2).

    Attributes:
        first: the number of the first byte, from 0. If it is None, the client asks for the last `last` bytes.
        last: the number of the last byte. If it is None, the client asks for all bytes from `first` to the end.
    """

    first: int | None
    last: int | None

    @classmethod
    def read(cls, header: str | None) -> AskedRange | None:
        """The part that a `Range` header asks for; None if the header is not valid or asks for several parts."""
        found = _RANGE.fullmatch(header or "")
        if found is None:
            return None
        first, last = (int(digits) if digits else None for digits in found.groups())
        is_valid = last is not None if first is None else last is None or first <= last
        return cls(first, last) if is_valid else None

    def within(self, total: int) -> PartialFile:
        """The part in a file of `total` bytes.

        Raises:
            NoSuchPartError: the file has none of the bytes of this part.
        """
        if self.first is None:
            start, end = max(0, total - (self.last or 0)), total - 1
        else:
            start, end = self.first, total - 1 if self.last is None else min(self.last, total - 1)
        if start >= total:
            problem = f"the part begins at byte {start}, but the file has {total} bytes"
            raise NoSuchPartError(f"{problem}: ask for bytes from 0 to {total - 1}", total=total)
        return PartialFile(start, end, total=total)
