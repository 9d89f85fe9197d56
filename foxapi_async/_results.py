"""What a finished task leaves behind: values without key or connection, that can be saved and pickled.

An image knows its URL and, while its session is open, through whom to fetch it. That `Downloads` port is all
this module knows of the network: the session binds its own, and an image without one (unpickled, or outliving
its session) takes the stand-alone port that `_downloads` puts into `standalone`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from foxapi_async._errors import DownloadError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})
"""Endings under which an image may be saved; a name with one of them is a file, not a directory."""


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
class Place:
    """Where an image stands in its result: `index` from 0, among `count`."""

    index: int
    count: int


class Downloads(Protocol):
    """Fetches result files: no key is ever sent along."""

    async def save(self, wanted: Sequence[tuple[GeneratedImage, Target]]) -> list[SavedFile]:
        """Stream each file to its target, at the same time, once all names are found free."""
        ...

    async def read(self, image: GeneratedImage) -> bytes:
        """The file's bytes; see `GeneratedImage.read`."""
        ...


standalone: list[Callable[[], Downloads]] = []
"""At most one maker of a port that opens a short-lived connection for each call."""


@attrs.frozen
class GeneratedImage:
    """One image of a finished task.

    Attributes:
        url: where the file is; FoxAPI keeps it for 24 hours (docs.foxapi.cc get-task-detail).
        content_type: the MIME type if the reply named one; mostly None.
        task_id: the task that made it, None if not known.
        raw: the whole result object of the reply, with fields this package does not know.
    """

    url: str
    content_type: str | None = None
    task_id: str | None = attrs.field(default=None, kw_only=True)
    raw: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True, repr=False, hash=False)
    _downloads: Downloads | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)
    _place: Place | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Stream the image into the file `path` and return that path.

        A path without an ending gets the one of its content. The file appears under its name only when it is
        whole. Missing folders are made. Where the URL has expired, an image of an open session reads its task once
        for a fresh one.

        Raises:
            DownloadError: the file exists already (found before anything is fetched) and `overwrite` is not
                set, the URL does not give an image, or nothing can be written there. `charged` is "yes".
        """
        return (await self.download(path, overwrite=overwrite)).path

    async def download(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> SavedFile:
        """Do what `save` does, and return size in bytes and checksum with the path.

        Raises:
            DownloadError: as `save` does.
        """
        target = Target(path=Path(path), exact=Path(path).suffix != "", overwrite=overwrite)
        return (await self._port().save([(self, target)]))[0]

    async def read(self) -> bytes:
        """The image file as bytes, held in memory.

        Raises:
            DownloadError: it cannot be fetched. `charged` is "yes".
        """
        return await self._port().read(self)

    def bound(self, downloads: Downloads, task_id: str, place: Place | None = None) -> GeneratedImage:
        """The same image of task `task_id`, in whose result it has that place, fetched through `downloads`."""
        return attrs.evolve(self, downloads=downloads, task_id=task_id, place=place)

    def counterpart(self, images: Sequence[GeneratedImage]) -> GeneratedImage | None:
        """This image at the address that a later reading of its task gives it; None where that cannot be told.

        Among another number of images the same place may be another image's.
        """
        if self._place is None or self._place.count != len(images):
            return None
        return attrs.evolve(self, url=images[self._place.index].url)

    def _port(self) -> Downloads:
        if self._downloads is None and not standalone:
            # An unpickled value where nothing else of the package was used: by name, because imports go downward.
            importlib.import_module("foxapi_async._downloads")
        return self._downloads or standalone[-1]()

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.url, self.content_type, self.task_id, dict(self.raw))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        names = ("url", "content_type", "task_id", "raw", "_downloads", "_place")
        for name, value in zip(names, (*state, None, None), strict=True):
            object.__setattr__(self, name, value)


@attrs.frozen(kw_only=True)
class TaskResult:
    """A task that completed.

    Attributes:
        task_id: its id.
        model: the model that was used; it may differ from the one asked for.
        images: one for each output, in the order of the reply.
        usage: the reply's `usage` object, such as `{"credits_reserved": 5}` in credits; empty if it had none.
        elapsed: seconds from the submit (for an attached task: from its creation) until completion was noticed.
        raw: the whole reply.
    """

    task_id: str
    model: str
    images: tuple[GeneratedImage, ...]
    usage: Mapping[str, Any] = attrs.field(hash=False)
    elapsed: float
    raw: Mapping[str, Any] = attrs.field(repr=False, hash=False)

    async def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Save every image as `<task_id>-<n>.<ext>` in `directory` and return the paths, n counting from 1.

        The ending follows the content. The directory is made if it is missing.

        Raises:
            DownloadError: `directory` has an image's ending, or as in `GeneratedImage.save`; `.saved` has the paths
                of the images that were saved all the same.
        """
        return [file.path for file in await self.download(directory, overwrite=overwrite)]

    async def download(
        self, directory: str | os.PathLike[str], *, overwrite: bool = False
    ) -> list[SavedFile]:
        """Do what `save` does, and return size in bytes and checksum with each path.

        Raises:
            DownloadError: as `save` does.
        """
        folder = Path(directory)
        if folder.suffix.lower() in IMAGE_SUFFIXES:
            raise DownloadError(
                f"save({str(directory)!r}): a task may have several images, so this takes a directory; "
                "use result.images[0].save(path) for one file",
                task_id=self.task_id,
            )
        stem = safe_name(self.task_id)
        wanted = [
            (image, Target(path=folder / f"{stem}-{n}", exact=False, overwrite=overwrite))
            for n, image in enumerate(self.images, 1)
        ]
        return await self.images[0]._port().save(wanted) if wanted else []  # noqa: SLF001 - its own images


def safe_name(task_id: str) -> str:
    """A file name made of an id from a stranger: no separator, no leading dot, at most 100 characters."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in task_id)
    return kept.lstrip(".")[:100] or "task"
