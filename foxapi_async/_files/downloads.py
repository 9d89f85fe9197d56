"""Result files to disk or memory: streamed, resumed where they broke off, under their name only when whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol
from weakref import WeakValueDictionary

from foxapi_async._errors import DownloadError, FoxError, Hint
from foxapi_async._files import disk, media_type
from foxapi_async._files.resume import PartialFile, RangeReply
from foxapi_async._files.values import FileRequest, SavedFile, Target
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.file_client import FileClient, FileStream
from foxapi_async._listener import Listener
from foxapi_async._options import RetryPolicy
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._retry.retry import RetrySignal, a_few_tries, retried
from foxapi_async._wire import error_replies
from foxapi_async._wire.requests import Reply

# An uncompressed 4K image has 64 MB; videos that come through RawRequest are larger.
MAX_FILE_BYTES = 1024 * 1024 * 1024

IDLE_SECONDS = 30.0

LIFETIME = "result files live for 24 hours"

Refresh = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the addresses that a task's files have now, by the task's id: a GET, which bills nothing."""


class UrlRefresh:
    """One read of a task, made when the first of its files turns out to have expired."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._outcome: Sequence[str] | FoxError | None = None

    async def fresh(self, file: FileRequest, refresh: Refresh) -> FileRequest | str:
        """The file at the address that its task gives now, or in words why there is none."""
        outcome = await self._read(file.task_id or "", refresh)
        if isinstance(outcome, FoxError):
            return f", and its task cannot be read for a fresh address: {outcome}"
        fresh = file.at_fresh_address(outcome)
        if fresh is None:
            return ", and its task names no address for it any more"
        return ", and its task still names this address" if fresh.url == file.url else fresh

    async def _read(self, task_id: str, refresh: Refresh) -> Sequence[str] | FoxError:
        """What the read gave. If the reader is cancelled, the next in line reads."""
        async with self._turn:
            if self._outcome is None:
                try:
                    self._outcome = await refresh(task_id)
                except FoxError as error:  # it is the same for every file of the task
                    self._outcome = error
            return self._outcome


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
        listener: hears of retries and of saved files, on the loop that this is made on.
    """

    def __init__(
        self,
        client: Callable[[], FileClient | None],
        retry: RetryPolicy,
        refresh: Refresh | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._retry = retry
        self._refresh = refresh
        self._listener = listener
        # The read that the downloads of one task share for as long as one of them holds it.
        self._refreshes: WeakValueDictionary[str | None, UrlRefresh] = WeakValueDictionary()

    async def save(self, wanted: Sequence[tuple[FileRequest, Target]]) -> list[SavedFile]:
        """Stream each file to its target; see `GeneratedImage.save`. What was saved stays if another fails."""
        for file, target in wanted:
            with _disk_errors(file, target.path):
                obstacle = await disk.in_thread(_obstacle, target)
            if obstacle is not None:  # found before anything is fetched
                raise _error(file, *obstacle)
        async with asyncio.TaskGroup() as group:
            saving = [group.create_task(self._save(file, target)) for file, target in wanted]
        outcomes = [task.result() for task in saving]
        saved = [outcome for outcome in outcomes if isinstance(outcome, SavedFile)]
        for outcome in outcomes:
            if isinstance(outcome, DownloadError):
                outcome.saved = tuple(file.path for file in saved)
                raise outcome
        return saved

    async def _save(self, file: FileRequest, target: Target) -> SavedFile | DownloadError:
        """One file. Its error is returned, because it does not concern the others."""
        loop, path = asyncio.get_running_loop(), target.path
        began = loop.time()
        try:
            with _disk_errors(file, path):
                async with disk.part_file(path.parent, path.name) as part:
                    ending = await self._fetch(file, part)
                    final = path if target.exact else Path(f"{path}{ending}")
                    checksum = await part.commit(final, overwrite=target.overwrite)
        except DownloadError as error:
            return error
        saved = SavedFile(final, checksum, part.size)
        # Hooks are called on their session's own loop alone.
        if self._listener is not None and loop is self._loop:
            self._listener.on_saved(file.task_id, final, checksum, part.size, loop.time() - began)
        return saved

    async def read(self, file: FileRequest) -> bytes:
        """The file's bytes; see `GeneratedImage.read`."""
        memory = disk.MemoryFile()
        await self._fetch(file, memory)
        return bytes(memory.data)

    async def _fetch(self, file: FileRequest, sink: Sink) -> str:
        """Pull the whole file into `sink`, from a fresh address if its own has expired; returns the ending that its
        content asks for.
        """
        # Held from here on, so that what a sibling under way reads is ours as well.
        shared = self._refreshes.setdefault(file.task_id, UrlRefresh())
        try:
            return await self._fetch_from(file, sink)
        except _Expired as expired:
            gone = str(expired)
        fresh = await self._fresh(file, shared)
        if isinstance(fresh, str):
            raise _error(file, f"{gone}{fresh}; {LIFETIME}")
        try:  # from the beginning: a validator vouches for the bytes of one address alone
            return await self._fetch_from(fresh, sink)
        except _Expired as expired:
            gone = str(expired)
        raise _error(fresh, f"{gone}, also at the fresh address that its task names; {LIFETIME}")

    async def _fresh(self, file: FileRequest, shared: UrlRefresh) -> FileRequest | str:
        """The file at a fresh address, or in words why there is none."""
        if self._refresh is None or file.task_id is None or self._shared() is None:
            return ""
        return await shared.fresh(file, self._refresh)

    async def _fetch_from(self, file: FileRequest, sink: Sink) -> str:
        """Pull the whole file into `sink`, in several tries if need be; returns the ending for its content."""
        known = PartialFile()

        async def attempt() -> None:
            try:
                async with self._connection() as client:
                    return await self._pull(client, file, sink, known)
            except ExchangeFailed as error:
                broken = error
            failure = _error(file, f"cannot download: {broken.reason}")
            if broken.final:
                raise failure
            raise RetrySignal(Verdict(failure, again=True))

        # Without a limiter: files come from another host, whose refusals say nothing about the API.
        rule = a_few_tries(self._retry.tries)
        listener = self._listener if asyncio.get_running_loop() is self._loop else None
        await retried(attempt, rule, listener, "download", task_id=file.task_id)
        return _ending(file, sink, known.content_type)

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

    async def _pull(self, client: FileClient, file: FileRequest, sink: Sink, known: PartialFile) -> None:
        connect = self._retry.connect_timeout
        seconds = connect + self._retry.reply_timeout
        async with client.get(file.url, known.resume_headers(sink.size), seconds, connect) as stream:
            step = known.take(stream.status, stream.headers, sink.size)
            if step is RangeReply.ANEW:
                raise ExchangeFailed(f"HTTP {stream.status} does not fit what came so far")
            if step is RangeReply.REFUSED:
                _refuse(file, stream)
            if step is RangeReply.BEGIN and sink.size:
                await sink.restart()
            _bound(file, known.total or 0)
            async for piece in stream.pieces(IDLE_SECONDS):
                _bound(file, sink.size + len(piece))
                await sink.write(piece)
        if not known.is_whole(sink.size):
            raise ExchangeFailed(f"{sink.size} bytes came, which is not the whole file")


def standalone() -> Downloads:
    """The port of a value that outlives its session, or was never in one."""
    return Downloads(lambda: None, RetryPolicy())


def _obstacle(target: Target) -> tuple[str, Hint] | None:
    """What is in the way of a new file, and what to do about it; which ending its content asks for is not known yet. Blocks.

    Raises:
        OSError: no file can be there: a name too long or with a character that the system cannot have, a file in
            place of a folder, or a folder whose content may not be seen.
    """
    path, problem = target.path, None
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return f"{path} is a directory", Hint.OTHER_NAME
    except FileNotFoundError:
        pass
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        raise OSError(errno.EINVAL, problem)
    endings = () if target.overwrite else ("",) if target.exact else media_type.ENDINGS
    names = (Path(f"{path}{ending}") for ending in endings)
    taken = next((name for name in names if os.path.lexists(name)), None)
    return None if taken is None else (f"{taken} exists already", Hint.OVERWRITE)


class _Expired(Exception):  # noqa: N818 - a signal inside this module: the address gives no file any more
    pass


def _refuse(file: FileRequest, stream: FileStream) -> NoReturn:
    status = stream.status
    words = f"cannot download: HTTP {status}"
    if status in {403, 404, 410}:
        raise _Expired(words)
    error = _error(file, words)
    if is_transient(status):
        said = error_replies.read_error(Reply(status, stream.headers, b""))  # with its Retry-After
        raise RetrySignal(Verdict(error, again=True, answer=said))
    raise error


def _bound(file: FileRequest, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise _error(file, f"the file is larger than {MAX_FILE_BYTES} bytes")


def _ending(file: FileRequest, sink: Sink, content_type: str | None) -> str:
    """The ending for the content.

    Raises:
        DownloadError: it is no image.
    """
    if sink.size == 0:
        raise _error(file, "the address gives an empty file instead of an image")
    ending = media_type.ending(sink.head, content_type)
    if ending is None:
        shown = content_type or "of unknown type"
        raise _error(file, f"the address gives a text or web page ({shown}) instead of an image")
    return ending


def _error(file: FileRequest, words: str, hint: Hint | None = None) -> DownloadError:
    task = f"task {file.task_id}: " if file.task_id else ""
    return DownloadError(f"{task}{words} ({file.url[:200]})", task_id=file.task_id, url=file.url, hint=hint)


@contextlib.contextmanager
def _disk_errors(file: FileRequest, path: Path) -> Iterator[None]:
    """Turn what the disk says into a DownloadError."""
    hint = None
    try:
        yield
        return
    except FileExistsError as error:
        words, hint = f"{error.filename2 or error.filename or path} exists already", Hint.OVERWRITE
    except OSError as error:
        words = f"cannot write {str(path)!r}: {error.strerror or error}"
    failure = _error(file, words, hint)
    failure.local = True
    raise failure
