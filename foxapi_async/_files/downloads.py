"""Downloads result files to disk or memory, and resumes broken downloads. A file gets its name only when it is whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol
from weakref import WeakValueDictionary

import attrs

from foxapi_async._errors import DownloadError, FoxError
from foxapi_async._files import disk, names
from foxapi_async._files.asked_range import AskedRange
from foxapi_async._files.download_slots import DownloadSlots
from foxapi_async._files.resume import PartialFile, RangeReply
from foxapi_async._files.streamed import StreamedFile
from foxapi_async._files.values import FileRequest, SavedFile, Target
from foxapi_async._hints import Hint
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.file_client import FileClient, FileStream
from foxapi_async._http.proxy import Proxy, environment_proxy
from foxapi_async._listener import Listener
from foxapi_async._options import RetryPolicy
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._retry.retry import RetrySignal, a_few_tries, retried
from foxapi_async._threads import in_thread
from foxapi_async._wire import error_replies, results
from foxapi_async._wire.requests import Reply

# An uncompressed 4K image has 64 MB. Videos that come through RawRequest are larger.
MAX_FILE_BYTES = 1024 * 1024 * 1024
IDLE_SECONDS = 30.0
LIFETIME = "result files live for 24 hours"

Refresh = Callable[[str], Awaitable[Sequence[str]]]
"""Takes a task's id, and returns the present addresses of its files. It sends a GET, which bills nothing."""


@attrs.define(eq=False)
class UrlRefresh:
    """One read of a task, made when the first of its files has expired."""

    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _outcome: Sequence[str] | FoxError | None = attrs.field(default=None, init=False)

    async def fresh(self, file: FileRequest, refresh: Refresh) -> FileRequest | str:
        """The file at the present address that its task gives, or a text that says why there is none."""
        outcome = await self._read(file.task_id or "", refresh)
        if isinstance(outcome, FoxError):
            return f", and its task cannot be read for a fresh address: {outcome}"
        fresh = file.at_fresh_address(outcome)
        if fresh is None:
            return ", and its task no longer names an address for it"
        return ", and its task still names this address" if fresh.url == file.url else fresh

    async def _read(self, task_id: str, refresh: Refresh) -> Sequence[str] | FoxError:
        """The result of the read. If the caller that reads is cancelled, the next waiting caller reads."""
        async with self._turn:
            if self._outcome is None:
                try:
                    self._outcome = await refresh(task_id)
                except FoxError as error:  # the same for every file of the task
                    self._outcome = error
            return self._outcome


class Sink(Protocol):
    """The destination of a file's pieces.

    Attributes:
        known: which bytes of the file are wanted, and what is known about it. It is set before the first piece.
    """

    known: PartialFile

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    @property
    def head(self) -> bytes:
        """The first bytes, which show the type of the content."""
        ...

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        ...

    async def restart(self) -> None:
        """Discard everything written so far."""
        ...


class Downloads:
    """Fetches the files of results.

    Args:
        client: returns the connections of the open session, or None after the session is closed. Then each call
            opens its own connection. So does a call on another loop than the one where this object was made.
        proxy: the proxy for connections that a call opens itself.
        retry: how often and how long each file is tried.
        refresh: reads a task for a fresh address of an expired file. None if there is no session, because it
            needs the session's key. It is not called after the session is closed.
        listener: gets reports of retries and saved files, on the loop where this object was made.
    """

    def __init__(
        self,
        client: Callable[[], FileClient | None],
        proxy: Proxy,
        retry: RetryPolicy,
        refresh: Refresh | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._client = client
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._retry = retry
        self._refresh = refresh
        self._listener = listener
        # All running downloads of one task share one `UrlRefresh`. It is dropped when none of them runs.
        self._refreshes: WeakValueDictionary[str | None, UrlRefresh] = WeakValueDictionary()

    async def save(self, wanted: Sequence[tuple[FileRequest, Target]]) -> list[SavedFile]:
        """Stream each file to its target; see `GeneratedImage.save`. Saved files stay if another one fails."""
        saved, failure = await self.save_each(wanted)
        if failure is not None:
            raise failure
        return saved

    async def save_each(
        self, wanted: Sequence[tuple[FileRequest, Target]], slots: DownloadSlots | None = None
    ) -> tuple[list[SavedFile], DownloadError | None]:
        """Stream each file to its target, in a slot. Return the saved files, and the first error of the other files.

        Raises:
            DownloadError: a target cannot be written. Nothing was fetched.
        """
        for file, target in wanted:
            with _disk_errors(file, target.path):
                obstacle = await in_thread(_obstacle, target)
            if obstacle is not None:  # found before anything is fetched
                raise _error(file, *obstacle)
        async with asyncio.TaskGroup() as group:
            saving = [group.create_task(self._save(file, target, slots)) for file, target in wanted]
        outcomes = [task.result() for task in saving]
        saved = [outcome for outcome in outcomes if isinstance(outcome, SavedFile)]
        failure = next((outcome for outcome in outcomes if isinstance(outcome, DownloadError)), None)
        if failure is not None:
            failure.saved = tuple(file.path for file in saved)
        return saved, failure

    async def _save(
        self, file: FileRequest, target: Target, slots: DownloadSlots | None
    ) -> SavedFile | DownloadError:
        """The saved file, or its error. The error is not raised, because it does not concern the other files."""
        loop, path = asyncio.get_running_loop(), target.path
        began = loop.time()
        try:
            with _disk_errors(file, path):
                async with disk.part_file(path.parent, path.name) as part:
                    ending = await self._fetch(file, part, slots)
                    final = path if target.exact else Path(f"{path}{ending}")
                    checksum = await in_thread(part.commit, final, overwrite=target.overwrite)
        except DownloadError as error:
            return error
        saved = SavedFile(final, checksum, part.size)
        # A session's hooks run only on its own loop.
        if self._listener is not None and loop is self._loop:
            self._listener.on_saved(file.task_id, final, checksum, part.size, loop.time() - began)
        return saved

    async def read(self, file: FileRequest) -> bytes:
        """The file's bytes; see `GeneratedImage.read`."""
        memory = disk.MemoryFile()
        await self._fetch(file, memory, None)
        return bytes(memory.data)

    @contextlib.asynccontextmanager
    async def stream(
        self, file: FileRequest, asked: AskedRange | None = None
    ) -> AsyncGenerator[tuple[StreamedFile, str]]:
        """The file while it arrives, and the ending for its content. It is fetched only as fast as it is read.

        Args:
            file: the file.
            asked: the part that is wanted. If the file's server sends no parts, the whole file is streamed.

        Raises:
            DownloadError: see `GeneratedImage.read`. The file's `pieces` raise it, too, if the file is cut off later.
            NoSuchPartError: the file has none of the bytes that are asked for.
        """
        streamed = StreamedFile() if asked is None else await self._part(file, asked)

        async def fetch() -> None:
            failure = None
            try:
                await self._fetch(file, streamed, None)
            except Exception as error:  # the reader raises it
                failure = error
            await streamed.end(failure)

        fetching = asyncio.ensure_future(fetch())
        try:
            await streamed.begin()
            yield streamed, _ending(file, streamed)
        finally:
            fetching.cancel()
            await asyncio.wait([fetching])

    async def _part(self, file: FileRequest, asked: AskedRange) -> StreamedFile:
        """A stream for the part, or for the whole file. The file's first bytes are fetched first: they show its type."""
        head = disk.MemoryFile(PartialFile(last=disk.HEAD_BYTES - 1))
        await self._fetch(file, head, None)
        if head.known.total is None or not head.known.sends_parts:
            return StreamedFile()
        return StreamedFile(asked.within(head.known.total), head.head)

    async def _fetch(self, file: FileRequest, sink: Sink, slots: DownloadSlots | None) -> str:
        """Download the file, or its wanted part, into `sink`, and return the ending for its content.

        If the file's address has expired, a fresh one is used.
        """
        if results.is_inside(file.url):
            return await self._decode(file, sink)
        # Kept until the end, so that one read of the task serves all running downloads of the task.
        url_refresh = self._refreshes.setdefault(file.task_id, UrlRefresh())
        try:
            return await self._fetch_from(file, sink, slots)
        except _Expired as expired:
            reason = str(expired)
        fresh = await self._fresh(file, url_refresh)
        if isinstance(fresh, str):
            raise _error(file, f"{reason}{fresh}; {LIFETIME}")
        try:  # from the beginning: a validator is valid only for the bytes of one address
            return await self._fetch_from(fresh, sink, slots)
        except _Expired as expired:
            reason = str(expired)
        raise _error(fresh, f"{reason}, also at the fresh address that its task names; {LIFETIME}")

    async def _decode(self, file: FileRequest, sink: Sink) -> str:
        """Write the file that its `data:` address contains into `sink`, and return the ending for its content."""
        try:
            data, sink.known.content_type = await in_thread(results.decode, file.url)
        except ValueError as error:
            problem = str(error)
        else:
            sink.known.total = len(data)
            await sink.write(data)
            return _ending(file, sink)
        raise _error(file, f"the data in the reply cannot be decoded: {problem}")

    async def _fresh(self, file: FileRequest, url_refresh: UrlRefresh) -> FileRequest | str:
        """The file at a fresh address, or a text that says why there is none."""
        if self._refresh is None or file.task_id is None or self._session_client() is None:
            return ""
        return await url_refresh.fresh(file, self._refresh)

    async def _fetch_from(self, file: FileRequest, sink: Sink, slots: DownloadSlots | None) -> str:
        """Download the file into `sink`, in several tries if needed, and return the ending for its content."""
        known = sink.known = sink.known.afresh()

        async def attempt() -> None:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    if slots is not None:
                        await stack.enter_async_context(slots.slot())
                    client = self._session_client()
                    if client is None:
                        client = await stack.enter_async_context(FileClient.short_lived(self._proxy))
                    return await self._pull(client, file, sink, known)
            except ExchangeFailed as error:
                broken = error
            failure = _error(file, f"cannot download: {broken.reason}", broken.hint)
            if broken.final:
                raise failure
            raise RetrySignal(Verdict(failure, again=True))

        # Without a limiter: files come from another host, so a refusal there does not concern the API.
        rule = a_few_tries(self._retry.tries)
        listener = self._listener if asyncio.get_running_loop() is self._loop else None
        await retried(attempt, rule, listener, "download", task_id=file.task_id)
        return _ending(file, sink)

    def _session_client(self) -> FileClient | None:
        """The open session's connections; None on another loop than the session's, where they do not work."""
        return self._client() if asyncio.get_running_loop() is self._loop else None

    async def _pull(self, client: FileClient, file: FileRequest, sink: Sink, known: PartialFile) -> None:
        connect = self._retry.connect_timeout
        seconds = connect + self._retry.reply_timeout
        async with client.get(file.url, known.resume_headers(sink.size), seconds, connect) as stream:
            step = known.take(stream.status, stream.headers, sink.size)
            if step is RangeReply.RESTART:
                raise ExchangeFailed(f"HTTP {stream.status} does not fit the bytes received so far")
            if step is RangeReply.REFUSED:
                _refuse(file, stream)
            if step is RangeReply.BEGIN and sink.size:
                await sink.restart()
            too_large = f"the file is larger than {MAX_FILE_BYTES} bytes"
            if (known.total or 0) > MAX_FILE_BYTES:
                raise _error(file, too_large)
            async for piece in stream.pieces(IDLE_SECONDS):
                if sink.size + len(piece) > MAX_FILE_BYTES:
                    raise _error(file, too_large)
                missing = known.missing(sink.size)
                await sink.write(piece[:missing])
                if missing is not None and missing < len(piece):
                    break  # the server sends more than was asked for
        if not known.is_whole(sink.size):
            raise ExchangeFailed(f"{sink.size} bytes were received, which is not the whole file")


def standalone() -> Downloads:
    """The downloads of an image that has no session."""
    return Downloads(lambda: None, environment_proxy(), RetryPolicy())


def _obstacle(target: Target) -> tuple[str, Hint] | None:
    """Why a new file cannot be written, with a hint; None if it can.

    The ending for its content is not known yet, so every ending is checked. Blocks.

    Raises:
        OSError: no file can have this path. The name is too long or has a forbidden character, or a folder
            of the path is a file, or the folder cannot be read.
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
    endings = () if target.overwrite else ("",) if target.exact else names.ENDINGS
    paths = (Path(f"{path}{ending}") for ending in endings)
    taken = next((name for name in paths if os.path.lexists(name)), None)
    return None if taken is None else (f"{taken} exists already", Hint.OVERWRITE)


class _Expired(Exception):  # noqa: N818 - a signal inside this module: the address no longer gives a file
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


def _ending(file: FileRequest, sink: Sink) -> str:
    """The ending for the content.

    Raises:
        DownloadError: it is not an image.
    """
    if sink.size == 0:
        raise _error(file, "the address gives an empty file instead of an image")
    ending = names.ending(sink.head, sink.known.content_type)
    if ending is None:
        shown = sink.known.content_type or "of unknown type"
        raise _error(file, f"the address gives a text or web page ({shown}) instead of an image")
    return ending


def _error(file: FileRequest, words: str, hint: Hint | None = None) -> DownloadError:
    task = f"task {file.task_id}: " if file.task_id else ""
    return DownloadError(f"{task}{words} ({file.url[:200]})", task_id=file.task_id, url=file.url, hint=hint)


@contextlib.contextmanager
def _disk_errors(file: FileRequest, path: Path) -> Generator[None]:
    """Turn an error of the disk into a `DownloadError`."""
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
