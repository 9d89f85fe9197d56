"""Result files to disk or memory: streamed, resumed where they broke off, under their name only when whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from foxapi_async import _content, _files, _results
from foxapi_async._errors import DownloadError
from foxapi_async._file_client import FileClient, FileStream
from foxapi_async._options import RetryPolicy
from foxapi_async._results import GeneratedImage, Target
from foxapi_async._retry import Again, Gate, retried
from foxapi_async._scope import Broken
from foxapi_async._verdicts import Verdict, is_transient

# An uncompressed 4K image has 64 MB; videos that come through RawRequest are larger.
MAX_FILE_BYTES = 1024 * 1024 * 1024

IDLE_SECONDS = 30.0


class Sink(Protocol):
    """Where a file's pieces go."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    @property
    def head(self) -> bytes:
        """The first bytes, by which content is known."""
        ...

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        ...

    async def restart(self) -> None:
        """Forget everything written so far."""
        ...


class Downloads:
    """The port through which results fetch their files.

    Args:
        client: the open session's connections, or None once it is closed: then each call opens its own.
        retry: its `tries` and times.
    """

    def __init__(self, client: Callable[[], FileClient | None], retry: RetryPolicy) -> None:
        self._client = client
        self._retry = retry

    async def save(self, wanted: Sequence[tuple[GeneratedImage, Target]]) -> list[Path]:
        """Stream each file to its target; see `GeneratedImage.save`. What was saved stays if another fails."""
        for image, target in wanted:
            with _disk_errors(image, target.path):
                await _refuse_taken(image, target)
        async with asyncio.TaskGroup() as group:
            saving = [group.create_task(self._save_or_error(image, target)) for image, target in wanted]
        outcomes = [task.result() for task in saving]
        saved = [outcome for outcome in outcomes if isinstance(outcome, Path)]
        for outcome in outcomes:
            if isinstance(outcome, DownloadError):
                outcome.saved = tuple(saved)
                raise outcome
        return saved

    async def _save_or_error(self, image: GeneratedImage, target: Target) -> Path | DownloadError:
        """One file; its error is returned, because it is not its siblings' problem."""
        try:
            return await self._save(image, target)
        except DownloadError as error:
            return error

    async def _save(self, image: GeneratedImage, target: Target) -> Path:
        path = target.path
        with _disk_errors(image, path):
            async with _files.part_file(path.parent, path.name) as part:
                ending = await self._fetch(image, part)
                final = path if target.exact else Path(f"{path}{ending}")
                await part.commit(final, overwrite=target.overwrite)
                return final

    async def read(self, image: GeneratedImage) -> bytes:
        """The file's bytes; see `GeneratedImage.read`."""
        memory = _files.MemoryFile()
        await self._fetch(image, memory)
        return bytes(memory.data)

    async def _fetch(self, image: GeneratedImage, sink: Sink) -> str:
        """Pull the whole file into `sink`; returns the ending that its content asks for."""
        known = _Known()

        async def attempt() -> None:
            try:
                async with self._connection() as client:
                    return await self._pull(client, image, sink, known)
            except Broken as error:
                broken = error
            failure = _error(image, f"cannot download: {broken.reason}")
            if broken.final:
                raise failure
            raise Again(Verdict(failure, again=True))

        # A gate of its own: files come from another host, whose refusals say nothing about the API.
        await retried(attempt, tries=self._retry.tries, gate=Gate())
        ending = _content.ending(sink.head, known.content_type)
        if ending is None:
            shown = known.content_type or "of unknown type"
            raise _error(image, f"the address gives a text or web page ({shown}) instead of an image")
        return ending

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[FileClient]:
        client = self._client()
        if client is not None:
            yield client
            return
        async with FileClient.short_lived() as own:
            yield own

    async def _pull(self, client: FileClient, image: GeneratedImage, sink: Sink, known: _Known) -> None:
        seconds = self._retry.connect_timeout + self._retry.reply_timeout
        async with client.get(image.url, known.resume_headers(sink.size), seconds) as stream:
            _check_status(image, stream, resuming=known.can_resume(sink.size))
            if sink.size and not known.continues(stream, sink.size):
                await sink.restart()
            known.note(stream)
            async for piece in stream.pieces(IDLE_SECONDS):
                if sink.size + len(piece) > MAX_FILE_BYTES:
                    raise _error(image, f"the file is larger than {MAX_FILE_BYTES} bytes")
                await sink.write(piece)


@attrs.define
class _Known:
    """What is known of a file that is being fetched, across tries."""

    content_type: str | None = None
    validator: str | None = None

    def note(self, stream: FileStream) -> None:
        self.content_type = stream.headers.get("Content-Type")
        etag = stream.headers.get("ETag", "")
        # A weak validator cannot vouch for bytes (RFC 9110 section 13.1.5), and of an encoded body we count other
        # bytes than the server does.
        self.validator = etag if etag.startswith('"') else stream.headers.get("Last-Modified")
        if stream.headers.get("Content-Encoding", "identity") != "identity":
            self.validator = None

    def resume_headers(self, size: int) -> dict[str, str]:
        """Ask for the rest only where the server can tell that the file is still the same one."""
        return {"Range": f"bytes={size}-", "If-Range": self.validator or ""} if self.can_resume(size) else {}

    def can_resume(self, size: int) -> bool:
        """Whether what we have so far can be continued."""
        return size > 0 and self.validator is not None

    def continues(self, stream: FileStream, size: int) -> bool:
        """Whether the reply goes on where we stopped."""
        return stream.status == 206 and stream.headers.get("Content-Range", "").startswith(f"bytes {size}-")


def standalone() -> Downloads:
    """The port of a value that outlives its session, or was never in one."""
    return Downloads(lambda: None, RetryPolicy())


_results.standalone[:] = [standalone]


async def _refuse_taken(image: GeneratedImage, target: Target) -> None:
    """Find a taken name before anything is fetched; which ending the content asks for is not known yet."""
    path = target.path
    if await _files.is_directory(path):
        raise _error(image, f"{path} is a directory: give a file name, or use result.save(directory)")
    if target.overwrite:
        return
    endings = ("",) if target.exact else _content.ENDINGS
    taken = await _files.existing([Path(f"{path}{ending}") for ending in endings])
    if taken is not None:
        raise _error(image, f"{taken} exists already: save elsewhere, or with overwrite=True")


def _check_status(image: GeneratedImage, stream: FileStream, *, resuming: bool) -> None:
    status = stream.status
    if status == 200 or (status == 206 and resuming):
        return
    hint = "; result files live for 24 hours" if status in {403, 404, 410} else ""
    error = _error(image, f"cannot download: HTTP {status}{hint}")
    if is_transient(status) or status == 206:  # a part that was not asked for
        raise Again(Verdict(error, again=True))
    raise error


def _error(image: GeneratedImage, words: str) -> DownloadError:
    task = f"task {image.task_id}: " if image.task_id else ""
    return DownloadError(f"{task}{words} ({image.url[:200]})", task_id=image.task_id, url=image.url)


@contextlib.contextmanager
def _disk_errors(image: GeneratedImage, path: Path) -> Iterator[None]:
    """Turn what the disk says into a DownloadError."""
    try:
        yield
        return
    except FileExistsError as error:
        words = f"{error.filename2 or error.filename or path} exists already: save elsewhere, or with overwrite=True"
    except OSError as error:
        words = f"cannot write {path}: {error.strerror or error}"
    raise _error(image, words)
