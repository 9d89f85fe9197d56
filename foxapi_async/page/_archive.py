"""Many result files as one ZIP archive, made while it is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE_BYTES = 1024 * 1024


class _Pieces(io.RawIOBase):
    """A stream that cannot seek. It keeps what was written until `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def write(self, data: bytes) -> int:  # type: ignore[override]  # zipfile gives bytes
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


def archive_of(paths: Iterable[Path]) -> Iterator[bytes]:
    """The pieces of an archive with these files. A file that is not there any more is left out.

    The files are stored and not compressed, because images and videos are compressed already.
    """
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w") as archive:
        for path in paths:
            try:
                source = path.open("rb")
            except OSError:
                continue
            with source, archive.open(zipfile.ZipInfo(path.name), "w", force_zip64=True) as kept:
                while piece := source.read(_PIECE_BYTES):
                    kept.write(piece)
                    yield pieces.take()
    yield pieces.take()
