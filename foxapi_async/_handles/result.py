"""The results of a finished task. They hold no API key and no connection, so they can be pickled.

An image fetches its file over the connections of its session. If the image was unpickled, or its session is closed, it
opens a connection of its own.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._errors import DownloadError
from foxapi_async._files.downloads import Downloads, standalone
from foxapi_async._files.names import DEFAULT_NAME, has_ending, image_stem
from foxapi_async._files.values import FileRequest, Position, SavedFile, Target
from foxapi_async._wire.replies import credits_of
from foxapi_async._wire.results import results_in, texts_in, values_in
from foxapi_async._wire.texts import elided


@attrs.frozen
class GeneratedImage:
    """One image of a finished task.

    Attributes:
        url: the file's address; FoxAPI keeps the file for 24 hours (docs.foxapi.cc get-task-detail). If the reply
            contains the file itself, this is a `data:` address.
        content_type: the MIME type if the reply named one; usually None.
        task_id: the task that made it; None if unknown.
        raw: the whole result object of the reply, with fields that this package does not know.
    """

    url: str = attrs.field(repr=lambda url: repr(elided(url, 200)))
    content_type: str | None = None
    task_id: str | None = attrs.field(default=None, kw_only=True)
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True, repr=False, hash=False)
    _downloads: Downloads | None = attrs.field(
        alias="downloads", default=None, kw_only=True, repr=False, eq=False
    )
    _position: Position | None = attrs.field(
        alias="position", default=None, kw_only=True, repr=False, eq=False
    )

    async def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Stream the image into the file `path` and return that path.

        If `path` does not end as a file type does, the ending that fits the content is added. The file gets its name
        only when it is complete. Missing folders are made. If the URL has expired and the session is open, the task
        is read once to get a new URL.

        Raises:
            DownloadError: the file exists already and `overwrite` is not set (this is checked before anything is
                fetched); or the URL does not give an image; or the file cannot be written. `charged` is "yes".
        """
        return (await self.download(path, overwrite=overwrite)).path

    async def download(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> SavedFile:
        """Do the same as `save`, and return the path with the size in bytes and the checksum.

        Raises:
            DownloadError: see `save`.
        """
        target = Target(path=Path(path), exact=has_ending(Path(path)), overwrite=overwrite)
        return (await downloads_of(self).save([(file_of(self), target)]))[0]

    async def read(self) -> bytes:
        """The image file as bytes, in memory.

        Raises:
            DownloadError: the file cannot be fetched. `charged` is "yes".
        """
        return await downloads_of(self).read(file_of(self))

    def _repr_html_(self) -> str:
        """The image in a notebook, loaded from its address. It is shown for 24 hours."""
        return f'<img src="{html.escape(self.url)}" style="max-width: 24rem">'

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.url, self.content_type, self.task_id, dict(self.raw))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        names = ("url", "content_type", "task_id", "raw", "_downloads", "_position")
        for name, value in zip(names, (*state, None, None), strict=True):
            object.__setattr__(self, name, value)


def file_of(image: GeneratedImage) -> FileRequest:
    """The file to fetch for an image."""
    return FileRequest(image.url, image.task_id, image._position)  # noqa: SLF001 - not for users of the image


def downloads_of(image: GeneratedImage) -> Downloads:
    """The downloads that fetch the file of an image."""
    return image._downloads or standalone()  # noqa: SLF001 - as above


@attrs.frozen(kw_only=True)
class TaskResult:
    """A task that completed.

    Attributes:
        task_id: its id.
        model: the model that was used; it may differ from the requested one.
        images: one image for each output, in the order of the reply.
        usage: the reply's `usage` object, such as `{"credits_reserved": 5}` in credits; empty if it had none.
        elapsed: seconds from the submit (for an attached task: from its creation) until its completion was noticed.
        missing: how many of the requested images the service did not deliver. It is 0 for an attached task with at
            least one image, because the requested number is not known.
        raw: the whole reply.
    """

    task_id: str
    model: str
    images: tuple[GeneratedImage, ...]
    usage: Mapping[str, Any] = attrs.field(hash=False)
    elapsed: float
    missing: int = 0
    raw: Mapping[str, Any] = attrs.field(repr=False, hash=False)

    @property
    def credits(self) -> float | None:
        """The credits that the task used, as the service states them. If it states none, the credits that it reserved;
        None if both are unknown.
        """
        return credits_of(self.usage)

    @property
    def values(self) -> tuple[Any, ...]:
        """The results that are not files, each as the service gave it: a voice, a profile, a character, a transcript
        or a language model's answer. If a voice comes with an audio file, that file is in `images`.
        """
        raw = dict(self.raw)
        return tuple(values_in(results_in(raw), raw.get("type")))

    @property
    def texts(self) -> tuple[str, ...]:
        """The words of the transcripts or answers among the `values`."""
        return tuple(texts_in(list(self.values)))

    def _repr_html_(self) -> str:
        """The images in a notebook, side by side."""
        return " ".join(image._repr_html_() for image in self.images)

    async def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Save every image as `<task_id>-<n>.<ext>` in `directory` and return the paths; n counts from 1.

        The ending follows the content. The directory is made if it is missing.

        Raises:
            DownloadError: `directory` ends as a file type does; or see `GeneratedImage.save`. `.saved` has the
                paths of the images that were saved.
        """
        return [file.path for file in await self.download(directory, overwrite=overwrite)]

    async def download(
        self, directory: str | os.PathLike[str], *, overwrite: bool = False
    ) -> list[SavedFile]:
        """Do the same as `save`, and return each path with the size in bytes and the checksum.

        Raises:
            DownloadError: see `save`.
        """
        folder = Path(directory)
        if has_ending(folder):
            raise DownloadError(
                f"save({str(directory)!r}): a task may have several images, so this takes a directory; "
                "use result.images[0].save(path) for one file",
                task_id=self.task_id,
            )
        return await save_as(self, folder, DEFAULT_NAME, overwrite=overwrite)


async def save_as(result: TaskResult, folder: Path, name: str, *, overwrite: bool) -> list[SavedFile]:
    """Save every image in `folder`. `name` is the pattern of the file names, with the fields `{id}` and `{n}`.

    Raises:
        DownloadError: see `TaskResult.save`.
    """
    images = result.images
    stems = (image_stem(name, result.task_id, n, len(images)) for n in range(1, len(images) + 1))
    wanted = [
        (file_of(image), Target(path=folder / stem, exact=False, overwrite=overwrite))
        for image, stem in zip(images, stems, strict=True)
    ]
    return await downloads_of(images[0]).save(wanted) if wanted else []


@attrs.frozen(kw_only=True)
class Outcome:
    """How one item of `FoxSession.as_completed` ended: with a `result` or with an `error`, never both.

    Attributes:
        index: the item's position in the input, from 0.
        request: the request; None if the item was not a valid request.
        task_id: the id; None if the service never gave one.
        result: the task's result, or None.
        error: why it has no result, usually a `FoxError`; None if it has one.
    """

    index: int
    request: Any
    task_id: str | None
    result: TaskResult | None
    error: Exception | None
