"""Values for downloads: the file to fetch, its target, and the file that was saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Target:
    """The target of one image: exactly `path`, or `path` plus the ending for its content."""

    path: Path
    exact: bool
    overwrite: bool = False


@attrs.frozen
class SavedFile:
    """A whole file that was written.

    Attributes:
        path: its path.
        sha256: the SHA-256 of the bytes that were written, in hexadecimal.
        bytes: its size in bytes.
    """

    path: Path
    sha256: str
    bytes: int


@attrs.frozen
class Position:
    """The position of an image in its result: `index` from 0, among `count`."""

    index: int
    count: int


@attrs.frozen
class FileRequest:
    """A result file to fetch.

    Attributes:
        url: its address.
        task_id: the task that made it; None if unknown.
        position: its position in the result; None if unknown.
    """

    url: str
    task_id: str | None = None
    position: Position | None = None

    def at_fresh_address(self, urls: Sequence[str]) -> FileRequest | None:
        """This file at the address from a later reply of its task; None if it cannot be identified.

        If the number of files has changed, another file may have the same position.
        """
        if self.position is None or self.position.count != len(urls):
            return None
        return attrs.evolve(self, url=urls[self.position.index])
