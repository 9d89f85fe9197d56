"""What is fetched, where it goes, and what was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Target:
    """Where one image goes: `stem` plus the ending its content asks for, or exactly `path`."""

    path: Path
    exact: bool
    overwrite: bool = False


@attrs.frozen
class SavedFile:
    """A file that was written, whole.

    Attributes:
        path: where it is.
        sha256: the SHA-256 of its content, in hexadecimal, taken of what was written.
        bytes: its size in bytes.
    """

    path: Path
    sha256: str
    bytes: int


@attrs.frozen
class Position:
    """Where an image stands in its result: `index` from 0, among `count`."""

    index: int
    count: int


@attrs.frozen
class FileRequest:
    """A result file to fetch.

    Attributes:
        url: its address.
        task_id: the task that made it; None if that is not known.
        position: where it stands in its result; None if that is not known.
    """

    url: str
    task_id: str | None = None
    position: Position | None = None

    def at_fresh_address(self, urls: Sequence[str]) -> FileRequest | None:
        """This file at the address that a later reply of its task gives it; None where that cannot be told.

        Among another number of files the same position may be another file's.
        """
        if self.position is None or self.position.count != len(urls):
            return None
        return attrs.evolve(self, url=urls[self.position.index])
