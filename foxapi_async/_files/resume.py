"""Resumes a broken download: keeps what is known about the file, and checks whether each reply fits it.

A file must never be a mixture of two versions. So the rest is requested only if the server can recognise the
version (RFC 9110 section 13.1.5), and a reply is accepted only if it fits the known facts (section 14.4).
Otherwise the download starts again.

A download may want only a part of the file, for a client that asks for one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from foxapi_async._wire.headers import parse_date


class RangeReply(enum.Enum):
    """How a reply fits the bytes that are already stored."""

    BEGIN = "the wanted bytes, from the first one"
    CONTINUE = "the rest of the wanted bytes"
    RESTART = "bytes that do not fit: request the whole file"
    REFUSED = "no file at all"


@attrs.define
class PartialFile:
    """Which bytes of a file are wanted, and what is known about it, during all tries of its download.

    Attributes:
        first: the first byte that is wanted, from 0.
        last: the last one; None for the whole file.
        content_type: as the server declares it.
        validator: a strong ETag or date that identifies this version; None if there is none.
        total: the length of the whole file in bytes; None if no reply has given it.
        sends_parts: whether the server says, or has shown, that it can send only a part of the file.
    """

    first: int = 0
    last: int | None = None
    content_type: str | None = None
    validator: str | None = None
    total: int | None = None
    sends_parts: bool = False

    def afresh(self) -> PartialFile:
        """The same wanted bytes, for another address. The validator is dropped: it holds for one address only."""
        return PartialFile(self.first, self.last, total=None if self.last is None else self.total)

    @property
    def length(self) -> int | None:
        """How many bytes are wanted; None if it is not known."""
        if self.total is None or self.last is None:
            return self.total
        return min(self.last + 1, self.total) - self.first

    def resume_headers(self, size: int) -> dict[str, str]:
        """Headers that ask for the rest, or for the whole file if its version has changed."""
        resumes = self._resumes(size)
        if self.last is None and not resumes:
            return {}
        start = self.first + size if resumes else self.first
        wanted = {"Range": f"bytes={start}-{'' if self.last is None else self.last}"}
        return {**wanted, "If-Range": self.validator} if resumes and self.validator else wanted

    def take(self, status: int, headers: Mapping[str, str], size: int) -> RangeReply:
        """How a reply fits the `size` bytes that are already stored. Keeps what the reply says about the file."""
        # A server that sends no parts sends the whole file. That contains a wanted beginning, too.
        is_beginning = self.first == 0 and self.total is None
        if status == 200 and (self.last is None or is_beginning):
            self._keep(headers)
            self.total = _number(headers.get("Content-Length")) if _is_plain(headers) else None
            self.sends_parts = self.last is None and headers.get("Accept-Ranges", "").lower() == "bytes"
            return RangeReply.BEGIN
        resumes = self._resumes(size)
        if status == 206 and resumes and self._is_same(headers) and self._fits(headers, self.first + size):
            return RangeReply.CONTINUE
        if status == 206 and not resumes and self.last is not None and self._fits(headers, self.first):
            self._keep(headers)
            self.sends_parts = True
            return RangeReply.BEGIN
        if status in {200, 206} or (status == 416 and resumes):
            self.restart()
            return RangeReply.RESTART
        return RangeReply.REFUSED

    def restart(self) -> None:
        """Let the next try ask for all wanted bytes.

        If a part is wanted, the length of the file stays known, and the file of the next reply must have the same.
        """
        self.validator = None
        if self.last is None:
            self.total = None

    def is_whole(self, size: int) -> bool:
        """Whether `size` bytes are all that is wanted, or the length is unknown. If there are too many, the next
        try starts again.
        """
        if self.length is None or size == self.length:
            return True
        if size > self.length:
            self.restart()
        return False

    def missing(self, size: int) -> int | None:
        """How many more bytes are wanted; None if every byte that arrives is wanted."""
        return None if self.last is None else self.last + 1 - self.first - size

    def _resumes(self, size: int) -> bool:
        return size > 0 and self.validator is not None

    def _keep(self, headers: Mapping[str, str]) -> None:
        self.content_type = headers.get("Content-Type")
        self.validator = _validator(headers) if _is_plain(headers) else None

    def _fits(self, headers: Mapping[str, str], wanted: int) -> bool:
        """Whether the reply's bytes begin at the wanted one, in a file of the known length. Keeps the length."""
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or not _is_plain(headers):
            return False
        start, last, total = int(found[1]), int(found[2]), _number(found[3])
        known = self.total if total is None else total
        fits = start == wanted and start <= last and (known is None or last < known)
        if not fits or self.total not in {None, known}:
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
