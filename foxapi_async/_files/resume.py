"""Resumes a broken download: keeps the known facts of the file, and checks whether each reply fits them.

A file must never be a mixture of two versions. So the rest is requested only if the server can recognise the
version (RFC 9110 section 13.1.5), and a reply is accepted only if it fits the known facts (section 14.4).
Otherwise the download starts again.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from foxapi_async._wire.headers import parse_date


class RangeReply(enum.Enum):
    """How a reply fits the bytes that are already stored."""

    BEGIN = "the whole file, from its first byte"
    CONTINUE = "the rest of it"
    RESTART = "bytes that do not fit: request the whole file"
    REFUSED = "no file at all"


@attrs.define
class PartialFile:
    """The known facts of a file during its download, across tries.

    Attributes:
        content_type: as the server declares it.
        validator: a strong ETag or date that identifies this version; None if there is none.
        total: its length in bytes; None if no reply has given it.
    """

    content_type: str | None = None
    validator: str | None = None
    total: int | None = None

    def resume_headers(self, size: int) -> dict[str, str]:
        """Headers that ask for the rest, or for the whole file if its version has changed."""
        if size == 0 or self.validator is None:
            return {}
        return {"Range": f"bytes={size}-", "If-Range": self.validator}

    def take(self, status: int, headers: Mapping[str, str], size: int) -> RangeReply:
        """How a reply fits the `size` bytes that are already stored. Keeps the facts that it gives of the file."""
        if status == 200:
            is_plain = _is_plain(headers)
            self.content_type = headers.get("Content-Type")
            self.validator = _validator(headers) if is_plain else None
            self.total = _number(headers.get("Content-Length")) if is_plain else None
            return RangeReply.BEGIN
        resuming = bool(self.resume_headers(size))
        if status == 206 and resuming and self._continues(headers, size):
            return RangeReply.CONTINUE
        if status == 206 or (status == 416 and resuming):
            self.restart()
            return RangeReply.RESTART
        return RangeReply.REFUSED

    def restart(self) -> None:
        """Let the next try ask for the whole file."""
        self.validator = self.total = None

    def is_whole(self, size: int) -> bool:
        """Whether `size` bytes are the whole file, or its length is unknown. If there are too many, the next
        try starts again.
        """
        if self.total is None or size == self.total:
            return True
        if size > self.total:
            self.restart()
        return False

    def _continues(self, headers: Mapping[str, str], size: int) -> bool:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or not _is_plain(headers):
            return False
        start, last, total = int(found[1]), int(found[2]), _number(found[3])
        known = self.total if total is None else total
        fits = start == size and start <= last and (known is None or last < known)
        if not fits or self.total not in {None, known} or not self._is_same(headers):
            return False
        self.total = known
        return True

    def _is_same(self, headers: Mapping[str, str]) -> bool:
        """Whether the reply names the known version, or no version."""
        name = "ETag" if (self.validator or "").startswith('"') else "Last-Modified"
        return headers.get(name, self.validator) == self.validator


# No file's length has more than 18 digits, and `int` reads 18 digits without error.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Whether the body is not encoded. We count decoded bytes, but the server counts encoded ones."""
    return headers.get("Content-Encoding", "identity").lower() == "identity"


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag; without any ETag, a `Last-Modified` that is at least one second old; else None.

    The file may change again within the second of `Last-Modified` (RFC 9110 section 8.8.2.2).
    """
    etag, modified = headers.get("ETag"), headers.get("Last-Modified")
    if etag is not None:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    changed, now = parse_date(modified), parse_date(headers.get("Date"))
    return modified if changed is not None and now is not None and now - changed >= 1 else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None
