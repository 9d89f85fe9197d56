"""Result files to disk or memory: streamed, resumed where they broke off, under their name only when whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from foxapi_async import _content, _files, _refusals, _results
from foxapi_async._calls import Reply
from foxapi_async._errors import DownloadError
from foxapi_async._file_client import FileClient, FileStream
from foxapi_async._notices import Saved
from foxapi_async._options import RetryPolicy
from foxapi_async._ranges import Known, Step
from foxapi_async._refresh import Reading, Readings, Refresh
from foxapi_async._results import GeneratedImage, SavedFile, Target
from foxapi_async._retry import Again, Gate, Tell, retelling, retried
from foxapi_async._scope import Broken
from foxapi_async._verdicts import Verdict, is_transient

# An uncompressed 4K image has 64 MB; videos that come through RawRequest are larger.
MAX_FILE_BYTES = 1024 * 1024 * 1024

IDLE_SECONDS = 30.0

LIFETIME = "result files live for 24 hours"


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
        client: the open session's connections, or None once it is closed: then each call opens its own, as it does on
            another loop than the one that this is made on.
        retry: its `tries` and times.
        refresh: reads a task for a fresh address of a file that has expired; None without a session, whose key that
            takes. It is not asked once the session is closed.
        tell: told of retries and of what is saved, on the loop that this is made on; None where nobody listens.
    """

    def __init__(
        self,
        client: Callable[[], FileClient | None],
        retry: RetryPolicy,
        refresh: Refresh | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._retry = retry
        self._refresh = refresh
        self._tell = tell
        self._readings = Readings()

    async def save(self, wanted: Sequence[tuple[GeneratedImage, Target]]) -> list[SavedFile]:
        """Stream each file to its target; see `GeneratedImage.save`. What was saved stays if another fails."""
        for image, target in wanted:
            with _disk_errors(image, target.path):
                await _refuse_taken(image, target)
        async with asyncio.TaskGroup() as group:
            saving = [group.create_task(self._save_or_error(image, target)) for image, target in wanted]
        outcomes = [task.result() for task in saving]
        saved = [outcome for outcome in outcomes if isinstance(outcome, SavedFile)]
        for outcome in outcomes:
            if isinstance(outcome, DownloadError):
                outcome.saved = tuple(file.path for file in saved)
                raise outcome
        return saved

    async def _save_or_error(self, image: GeneratedImage, target: Target) -> SavedFile | DownloadError:
        """One file; its error is returned, because it is not its siblings' problem."""
        try:
            return await self._save(image, target)
        except DownloadError as error:
            return error

    async def _save(self, image: GeneratedImage, target: Target) -> SavedFile:
        path, began = target.path, asyncio.get_running_loop().time()
        with _disk_errors(image, path):
            async with _files.part_file(path.parent, path.name) as part:
                ending = await self._fetch(image, part)
                final = path if target.exact else Path(f"{path}{ending}")
                await part.commit(final, overwrite=target.overwrite)
                file = SavedFile(final, part.sha256, part.size)
        if tell := self._heard():
            seconds = asyncio.get_running_loop().time() - began
            tell(Saved(task_id=image.task_id, file=file, seconds=seconds))
        return file

    def _heard(self) -> Tell | None:
        """Hooks are called on their session's own loop alone."""
        return self._tell if asyncio.get_running_loop() is self._loop else None

    async def read(self, image: GeneratedImage) -> bytes:
        """The file's bytes; see `GeneratedImage.read`."""
        memory = _files.MemoryFile()
        await self._fetch(image, memory)
        return bytes(memory.data)

    async def _fetch(self, image: GeneratedImage, sink: Sink) -> str:
        """Pull the whole file into `sink`, from a fresh address if its own has expired; returns the ending that its
        content asks for.
        """
        # Held from here on, so that what a sibling under way reads is ours as well.
        reading = self._readings.of(image.task_id)
        try:
            return await self._fetch_from(image, sink)
        except _Expired as expired:
            gone = str(expired)
        fresh = await self._fresh(image, reading)
        if isinstance(fresh, str):
            raise _error(image, f"{gone}{fresh}; {LIFETIME}")
        try:  # from the beginning: a validator vouches for the bytes of one address alone
            return await self._fetch_from(fresh, sink)
        except _Expired as expired:
            gone = str(expired)
        raise _error(fresh, f"{gone}, also at the fresh address that its task names; {LIFETIME}")

    async def _fresh(self, image: GeneratedImage, reading: Reading) -> GeneratedImage | str:
        """The image at a fresh address, or in words why there is none."""
        if self._refresh is None or image.task_id is None or self._shared() is None:
            return ""
        return await reading.fresh(image, self._refresh)

    async def _fetch_from(self, image: GeneratedImage, sink: Sink) -> str:
        """Pull the whole file into `sink`, in several tries if need be; returns the ending for its content."""
        known = Known()

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
        telling = retelling(self._heard(), "download", task_id=image.task_id)
        await retried(attempt, tries=self._retry.tries, gate=Gate(), telling=telling)
        return _ending(image, sink, known.content_type)

    def _shared(self) -> FileClient | None:
        """The open session's connections, which work on its own loop alone: elsewhere a value is as if it had none."""
        return self._client() if asyncio.get_running_loop() is self._loop else None

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[FileClient]:
        client = self._shared()
        if client is not None:
            yield client
            return
        async with FileClient.short_lived() as own:
            yield own

    async def _pull(self, client: FileClient, image: GeneratedImage, sink: Sink, known: Known) -> None:
        connect = self._retry.connect_timeout
        seconds = connect + self._retry.reply_timeout
        async with client.get(image.url, known.resume_headers(sink.size), seconds, connect) as stream:
            step = known.take(stream.status, stream.headers, sink.size)
            if step is Step.ANEW:
                raise Broken(f"HTTP {stream.status} does not fit what came so far")
            if step is Step.REFUSED:
                _refuse(image, stream)
            if step is Step.BEGIN and sink.size:
                await sink.restart()
            _bound(image, known.total or 0)
            async for piece in stream.pieces(IDLE_SECONDS):
                _bound(image, sink.size + len(piece))
                await sink.write(piece)
        if not known.is_whole(sink.size):
            raise Broken(f"{sink.size} bytes came, which is not the whole file")


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


class _Expired(Exception):  # noqa: N818 - a signal inside this module: the address gives no file any more
    pass


def _refuse(image: GeneratedImage, stream: FileStream) -> NoReturn:
    status = stream.status
    words = f"cannot download: HTTP {status}"
    if status in {403, 404, 410}:
        raise _Expired(words)
    error = _error(image, words)
    if is_transient(status):
        said = _refusals.read_error(Reply(status, stream.headers, b""))  # with its Retry-After
        raise Again(Verdict(error, again=True, answer=said))
    raise error


def _bound(image: GeneratedImage, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise _error(image, f"the file is larger than {MAX_FILE_BYTES} bytes")


def _ending(image: GeneratedImage, sink: Sink, content_type: str | None) -> str:
    """The ending for the content.

    Raises:
        DownloadError: it is no image.
    """
    if sink.size == 0:
        raise _error(image, "the address gives an empty file instead of an image")
    ending = _content.ending(sink.head, content_type)
    if ending is None:
        shown = content_type or "of unknown type"
        raise _error(image, f"the address gives a text or web page ({shown}) instead of an image")
    return ending


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
        words = f"cannot write {str(path)!r}: {error.strerror or error}"
    failure = _error(image, words)
    failure.local = True
    raise failure
