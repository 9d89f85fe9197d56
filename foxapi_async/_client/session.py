"""The session that users hold. It checks arguments and calls the engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.api import Api
from foxapi_async._client.estimates_file import check_estimates, load_estimates, save_estimates
from foxapi_async._client.hooks import Hook, Hooks
from foxapi_async._client.streams import EventStream
from foxapi_async._errors import ConfigurationError, InvalidRequestError
from foxapi_async._files.downloads import Downloads
from foxapi_async._files.upload_source import Source
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
from foxapi_async._http.credentials import resolve_credentials
from foxapi_async._http.preload import import_everything
from foxapi_async._http.proxy import ENVIRONMENT, proxy_of, resolve_proxy
from foxapi_async._http.transport import Transport
from foxapi_async._listener import about, log
from foxapi_async._options import (
    UNSET,
    Limits,
    RetryPolicy,
    Timeout,
    check_count,
    check_idempotency_key,
    check_timeout,
    is_number,
)
from foxapi_async._wire import requests
from foxapi_async._wire.account_replies import AccountCredits
from foxapi_async._wire.replies import UploadedFile
from foxapi_async.models import GenerationRequest, parse_request

if TYPE_CHECKING:
    import aiohttp

    from foxapi_async._client.as_completed import CompletedIterator, RequestItems
    from foxapi_async._client.engine import Engine

DEFAULT_IN_FLIGHT = 100


class FoxSession:
    """A session at FoxAPI with one key. It submits generation tasks, and polls each when it is likely to be done.

    Use it with `async with`. A whole application can use one session. You can make a session without a running loop. It
    belongs to the loop on which it is entered. Any task on this loop may exit it.

    Args:
        api_key: the key; default FOXAPI_API_KEY. White space around it is removed.
        base_url: the address of the service; default FOXAPI_BASE_URL, else https://api.foxapi.cc.
        cadence: how often tasks are polled.
        retry: the tries and the time limits of a request.
        limits: how much of the service is used at once.
        estimates: task durations and prices that earlier sessions learned, so that the first polls are not guesses.
            Give an `Estimates`, which continues to learn, or the path of a file. The file is read on entering, if it
            exists, and written on exit.
        task_timeout: seconds after which a handle ends, if no other `timeout` is given for it; None for no limit. For
            an item of `as_completed` or of a batch, this time is paused while the item waits for its turn to be sent.
        http: your own `aiohttp.ClientSession`, for proxies or TLS settings. We do not close it or change its defaults.
            If the server has just closed an idle connection of it, a submit raises `UncertainSubmitError` although it
            was not accepted (0.5 % of submits after idle gaps). A connector with `force_close=True` avoids this.
        hooks: plain functions of one event, called on the loop with every `TaskEvent`, and with a `Notice` of each
            request, such as `Submitted`, `Polled`, `Retried` or `Saved`. Distinguish them with `isinstance`. An error
            of a hook is logged once and stops nothing. A slow hook blocks the loop, and is logged.
        allow_http: send the key over plain http to another machine, too (also FOXAPI_ALLOW_HTTP=1).
        proxy: the HTTP proxy for https requests (CONNECT). "environment" uses HTTPS_PROXY, or the settings of macOS and
            Windows, except for the hosts in NO_PROXY. You can also give an address, such as
            "http://user:password@proxy.example:3128", or None for no proxy. This machine is always reached directly. A
            session in `http` keeps its own settings. Files fetched after closing use its proxy, or the environment's.

    Raises:
        ConfigurationError: the key is missing or malformed, `base_url` is unsafe, or a setting is wrong; on entering,
            if the file of estimates has other content.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        cadence: Cadence = Cadence(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        estimates: Estimates | str | os.PathLike[str] | None = None,
        task_timeout: float | None = 3600.0,
        http: aiohttp.ClientSession | None = None,
        hooks: Iterable[Hook] = (),
        allow_http: bool = False,
        proxy: str | None = ENVIRONMENT,
    ) -> None:
        if http is not None and proxy != ENVIRONMENT:
            raise ConfigurationError("proxy= does not change http=: give the proxy to that session")
        credentials = resolve_credentials(api_key, base_url, allow_http=allow_http, environ=os.environ)
        resolved = resolve_proxy(proxy if http is None else None)
        del api_key, base_url, proxy  # a log of a traceback with local variables would show them
        if isinstance(credentials, ConfigurationError):
            raise credentials
        if isinstance(resolved, ConfigurationError):
            raise resolved
        resolved.check(credentials.base_url)
        settings = {"cadence": (cadence, Cadence), "retry": (retry, RetryPolicy), "limits": (limits, Limits)}
        for name, (value, kind) in settings.items():
            if not isinstance(value, kind):
                raise ConfigurationError(f"{name}={value!r}: give a {kind.__name__}(...)")
        self._credentials = credentials
        self._proxy = resolved
        self._late_proxy = resolved if http is None else proxy_of(http)
        self._cadence = cadence
        self._retry = retry
        self._limits = limits
        self._estimates = check_estimates(estimates)
        self._task_timeout = check_timeout(task_timeout)
        self._http = http
        self._hooks = Hooks(hooks)
        self._engine: Engine | None = None
        self._iterator: type[CompletedIterator]  # imported with the engine

    def __repr__(self) -> str:
        if not hasattr(self, "_engine"):  # in a traceback of its constructor
            return "<FoxSession refused>"
        state = "new" if self._engine is None else "closed" if self._engine.closed.is_set() else "open"
        return f"<FoxSession {self._credentials.base_url} {state}>"

    async def __aenter__(self) -> Self:
        return await self.open()

    async def open(self) -> Self:
        """Open the session without `async with`, for example in a notebook. Close it with `aclose`.

        Raises:
            ConfigurationError: it was opened before. Make another session.
        """
        if self._engine is not None:
            raise ConfigurationError("a FoxSession can be opened only once: make another one")
        if self._credentials.plain:
            log.warning(
                "the API key travels unencrypted to %s, as allowed",
                self._credentials.base_url,
                extra=about("key_unencrypted"),
            )
        import_everything()
        # The engine is imported only now, so that a program starts sooner. Nothing is imported after this.
        from foxapi_async._client.as_completed import CompletedIterator  # noqa: PLC0415 - imports the engine
        from foxapi_async._client.engine import Engine  # noqa: PLC0415 - a program without a session needs no engine

        limits, estimates = self._limits, self._estimates
        if isinstance(estimates, Path):
            estimates = await load_estimates(estimates)
        transport = Transport(self._credentials, self._proxy, connections=limits.connections, http=self._http)
        self._hooks.clock, hooks = asyncio.get_running_loop().time, self._hooks.listener

        async def addresses(task_id: str) -> list[str]:
            return [image.url for image in (await api.fetch(task_id)).images]

        downloads = Downloads(transport.files, self._late_proxy, self._retry, addresses, hooks)
        api = Api(transport, self._retry, limits, downloads, hooks)
        engine = Engine(transport, api, self._cadence, estimates, limits.connections, hooks, self._retry)
        await engine.start()
        self._engine, self._iterator = engine, CompletedIterator
        return self

    async def aclose(self) -> None:
        """Close the session, as at the end of `async with`. A second call does nothing.

        Tasks that still run stay billed, and are in `unfinished`.
        """
        if self._engine is not None and not self._engine.closed.is_set():
            await self.__aexit__(None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine = self._open_engine()
        try:
            await engine.finish()
        except BaseException as fault:
            # The body's own error is raised unchanged; a bug of ours is raised only if the body raised nothing.
            if error is None or not isinstance(fault, Exception):
                engine.note_on(fault)
                raise
            log.error("the session also failed: %r", fault, extra=about("internal_error"))
        finally:
            if error is not None:
                engine.note_on(error)
            if isinstance(self._estimates, Path):
                await save_estimates(engine.poller.estimates, self._estimates)

    async def submit(
        self,
        request: GenerationRequest | Mapping[str, Any],
        *,
        timeout: Timeout = UNSET,
        idempotency_key: str | None = None,
    ) -> TaskHandle:
        """Start one generation: one billed POST. Its task is polled from now on, even if you do not wait.

        Cancelling `submit` ends only the wait. If an id arrives after that, it is in the log, the hooks and
        `unfinished`. Local files in `image_urls` (`os.PathLike`) are uploaded first.

        Args:
            request: the generation request, or a mapping for `parse_request`.
            timeout: seconds from this call after which the handle ends; None for no limit; default the session's
                `task_timeout`.
            idempotency_key: the header `Idempotency-Key` of each try: 16 to 96 characters of `A-Z a-z 0-9 . _ -`;
                default a random one. If you store it before the call, you know it after a crash, and the service's
                support can use it. The service does not document it: a second submit with it may be billed again.

        Raises:
            InvalidRequestError, ConfigurationError: nothing was sent.
            ConnectionFailedError: nothing was sent, after a few tries.
            APIError: the service refused it; nothing is billed. After a 401 or 402, later submits raise it without
                being sent: see `resume`.
            UncertainSubmitError: it was sent and has no usable answer. It may be billed, and is not sent again.
        """
        engine = self._open_engine()
        given = request if isinstance(request, GenerationRequest) else parse_request(request)
        key = None if idempotency_key is None else check_idempotency_key(idempotency_key)
        submission = engine.new_submission(self._seconds(timeout), key=key)
        return await engine.submitter.submit(given, submission)

    async def generate(
        self, request: GenerationRequest | Mapping[str, Any], *, timeout: Timeout = UNSET
    ) -> TaskResult:
        """Submit and wait: `await (await submit(request))`.

        Raises:
            FoxError: the errors of `submit` and `TaskHandle.wait`.
        """
        handle = await self.submit(request, timeout=timeout)
        try:
            return await handle
        except asyncio.CancelledError:
            # The task is billed. If it ends soon, `unfinished` does not have it any more, so its id is logged.
            log.warning(
                "generate() was cancelled; task %s continues and stays billed: attach(id) waits for it again",
                handle.id,
                extra=about("generate_cancelled", task_id=handle.id),
            )
            raise

    def attach(
        self, task_id: str, *, estimated_time: float | None = None, timeout: Timeout = UNSET
    ) -> TaskHandle:
        """Continue with a task of an earlier process or another replica. Nothing is billed.

        The task is polled at once. Its age comes from the reply (`Date` minus `created`, both on the service's clock).

        Args:
            task_id: the id that a submit returned.
            estimated_time: seconds that the task was expected to take, if you kept it; status replies often lack it.
            timeout: seconds for the life of this handle, as in `submit`.

        Raises:
            InvalidRequestError: the id is not valid.
            ConfigurationError: the session is not open.
        """
        if estimated_time is not None and not is_number(estimated_time):
            raise InvalidRequestError(f"estimated_time={estimated_time!r}: give seconds, or None if unknown")
        engine = self._open_engine()
        return engine.poller.attach(requests.check_task_id(task_id), estimated_time, self._seconds(timeout))

    def _attach_watcher(self, task_id: str) -> TaskHandle:
        """`attach` for a reader that got the id from somewhere else. The handle is not in `unfinished`."""
        engine = self._open_engine()
        return engine.poller.attach(requests.check_task_id(task_id), None, self._seconds(UNSET), kept=False)

    async def fetch(self, task_id: str) -> TaskSnapshot:
        """Read the present state of the task. If the network or the service fails, a few more tries are made.

        Raises:
            NotFoundError: the service does not know the id.
            FoxError: it could not be read; `charged` is "no", because a read generates nothing.
        """
        engine = self._open_engine()
        return await engine.api.fetch(requests.check_task_id(task_id))

    def as_completed(self, requests: RequestItems, *, max_in_flight: int | None = None) -> CompletedIterator:
        """Submit many requests and get each outcome when it ends.

        Args:
            requests: any iterable or async iterable of requests or mappings. It may be endless: an item is taken
                only when there is room. An invalid mapping gives an outcome with `request=None`.
            max_in_flight: the most items that are submitted and not yet yielded; default
                `Limits.max_in_flight`, else 100.

        Returns:
            An async iterator of `Outcome`, with `stop()` (submit no more items, yield the submitted ones) and
            `aclose()`. An item's error is in its outcome. If the source itself raises, all submitted items are
            yielded first, then that error is raised. `break` ends submitting, with `contextlib.aclosing` at once.
            Submitted tasks continue and stay in `unfinished`.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or `max_in_flight` is not a positive number.
        """
        if max_in_flight is not None:
            check_count("max_in_flight", max_in_flight, InvalidRequestError)
        engine, room, seconds = self._for_series(max_in_flight)
        return self._iterator(engine, requests, room, seconds)

    @property
    def unfinished(self) -> tuple[TaskHandle, ...]:
        """The handles of paid tasks that may still run.

        It includes handles that timed out or were stopped (the last one of each id, for two days), and handles that a
        closed `as_completed` did not yield. You can read it after closing, and `attach` to each id in another session.
        """
        return () if self._engine is None else self._engine.unfinished

    def events(self) -> AsyncIterator[TaskEvent]:
        """One stream of the events of all tasks, from the present state of running tasks until the session is closed.

        A slow reader gets the latest state of each task and every final event.

        Raises:
            ConfigurationError: the session is not open.
        """
        engine = self._open_engine()
        stream = EventStream(engine.poller.current_events())
        engine.streams.add(stream)
        return stream

    async def upload(
        self, file: str | os.PathLike[str] | bytes | BinaryIO, *, filename: str | None = None
    ) -> UploadedFile:
        """Store an input file at the service for 72 hours, and return its URL for `image_urls`. It is not billed.

        Args:
            file: a path, bytes, or a binary file that can seek.
            filename: its name at the service; default the name of the file.

        Raises:
            InvalidRequestError: the file cannot be read, is empty, or is larger than 100 MB.
            FoxError: the file could not be stored.
        """
        engine = self._open_engine()
        return await engine.api.upload(Source(file), filename)

    async def credits(self) -> AccountCredits:
        """The credits of the key and of its account. A read is not billed, and is tried again like `fetch`.

        Raises:
            AuthenticationError: the service does not accept the key.
            FoxError: they could not be read.
        """
        return await self._open_engine().api.credits()

    async def models(self) -> tuple[str, ...]:
        """The ids of the models that the key may call, in the order of the service. This is a read, like `credits`.

        Raises:
            AuthenticationError: the service does not accept the key.
            FoxError: they could not be read.
        """
        return await self._open_engine().api.models()

    def resume(self) -> None:
        """Send submits again at once. Call it after you have corrected the key or bought credits.

        After a 401 or 402 on a submit, or on the upload of its files, all waiting and later submits raise that error
        without being sent (`charged` is "no"). Every 30 s one submit is sent as a probe. When one is accepted, all
        submits are sent again. So a server that runs for months need not call this.

        Raises:
            ConfigurationError: the session is not open.
        """
        self._open_engine().resume()

    def _for_series(self, max_in_flight: int | None) -> tuple[Engine, int, float | None]:
        """The engine, the most items at a time, and the seconds to wait for each task."""
        room = max_in_flight or self._limits.max_in_flight or DEFAULT_IN_FLIGHT
        return self._open_engine(), room, self._task_timeout

    def _seconds(self, timeout: Timeout) -> float | None:
        return self._task_timeout if timeout is UNSET else check_timeout(timeout)

    def _open_engine(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise ConfigurationError(
                "the session is not open: use it inside `async with FoxSession() as fox:`"
            )
        if engine.closed.is_set():
            raise ConfigurationError("the session was closed: make another one for further work")
        if asyncio.get_running_loop() is not engine.loop:
            raise ConfigurationError("the session belongs to another event loop: make one for each loop")
        return engine
