"""Runs the page's requests as items of a batch. Each is in the ledger before it is sent, and its images are in
the folder when it is done.

The steps of an item have the order of `foxapi_async._batch.item`. An asyncio task of the session completes each item,
even if no browser is open. The next server on the same folder continues with unfinished items.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

from foxapi_async._batch.budget import Budget, kind_of
from foxapi_async._batch.expectation import experience_of
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async._batch.item import ItemRun, RunContext
from foxapi_async._batch.keys import fingerprint
from foxapi_async._batch.record import WorkItem, item_of
from foxapi_async._batch.work import note_unanswered
from foxapi_async._cadence.estimates import price_book
from foxapi_async._client.engine import Engine
from foxapi_async._client.session import FoxSession
from foxapi_async._errors import ConfigurationError, FoxError, LedgerError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._http.credentials import is_loopback
from foxapi_async._ledger.entry import PAID_TASK
from foxapi_async._ledger.protocol import Ledger
from foxapi_async._listener import about, log
from foxapi_async._policy.prices import priced_as
from foxapi_async._wire.requests import MODELS_PATH, Reply
from foxapi_async.fastapi._shapes import ImageProgress
from foxapi_async.models import GenerationRequest
from foxapi_async.page._broadcast import Broadcaster, Change
from foxapi_async.page._history import History

Waiting = asyncio.Future[TaskHandle]


class PageService:
    """A session whose submits are kept in a folder. `opened` makes one.

    Args:
        fox: the open session.
        ledger: the ledger of the folder.
        context: the data that all items share.
        engine: the engine of the session.
        emulated: whether an emulator makes the results, and nothing is billed.
    """

    def __init__(
        self, fox: FoxSession, ledger: Ledger, context: RunContext, engine: Engine, *, emulated: bool
    ) -> None:
        self.fox = fox
        self.out = context.out
        self.broadcaster = Broadcaster()
        self._faults: dict[str, str] = {}
        self.history = History(ledger, self._faults)
        self._ledger = ledger
        self._context = context
        self._engine = engine
        self._emulated = emulated
        self._spending = Change("spending", "", None)
        self._presses: dict[str, Waiting] = {}
        self._latest: dict[str, TaskEvent] = {}
        self._watched: set[str] = set()
        self._closing = False

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls,
        fox: FoxSession,
        out: Path,
        *,
        emulated: bool | None = None,
        other_origin: bool = False,
        rebuild_ledger: bool = False,
    ) -> AsyncGenerator[PageService]:
        """A service in the folder `out`, which continues with the unfinished items there.

        Args:
            fox: the open session.
            out: the folder.
            emulated: whether the session uses the command's emulator; None to skip this check.
            other_origin: continue although the folder was begun at a service with another address.
            rebuild_ledger: make a lost ledger again.

        Raises:
            ConfigurationError: the session is not open.
            InvalidRequestError: the folder was begun with the emulator and this is the service, or the other
                way round.
            LedgerError: the ledger is in use, was lost, or cannot be read or written; or the folder was begun
                at another service.
        """
        engine, room, timeout = fox._for_series(None)  # noqa: SLF001 - as a batch does
        terms = Terms(
            base_url=fox._credentials.base_url,  # noqa: SLF001 - as above
            room=room,
            emulated=emulated,
            other_origin=other_origin,
            rebuild=rebuild_ledger,
            page=True,
        )
        async with BatchFolder.opened(out, terms) as folder:
            ledger, manifest = folder.ledger, folder.manifest
            totals = await ledger.totals()
            budget = Budget(spent=totals.spent, unpriced=totals.unpriced)
            for kind, price in (await experience_of(ledger)).prices.items():
                budget.learn(kind, price)
            context = RunContext(
                engine=engine,
                ledger=ledger,
                manifest=manifest,
                budget=budget,
                out=out,
                timeout=timeout,
                series=None,  # a person waits for the answer
            )
            is_emulator = bool(emulated) or await _is_emulator(terms.base_url or "", engine)
            service = cls(fox, ledger, context, engine, emulated=is_emulator)
            listening = engine.spawn(service._listen())
            try:
                await service._resume_all()
                yield service
            finally:
                listening.cancel()
                await service._close()

    # The calls of the routes.

    async def submit(self, request: GenerationRequest, press: str | None = None) -> TaskHandle:
        """Record a request in the ledger and submit it. It is completed even if the caller goes away.

        Args:
            request: the request.
            press: the key of its item. A press that comes again gets the answer of the first one. None to make a key.

        Raises:
            FoxError: as `FoxSession.submit`.
            LedgerError: the ledger cannot be written; nothing was sent.
        """
        if press in self._presses:
            return await asyncio.shield(self._presses[press])
        if self._closing:
            raise ConfigurationError("the server is being stopped: nothing was sent")
        kind = kind_of(request)
        self._context.budget.take(kind)
        key = press or secrets.token_hex(8)
        item = WorkItem(
            index=self.history.add(key),
            key=key,
            fingerprint=fingerprint(request),
            request=request,
            kind=kind,
        )
        waiting: Waiting = self._engine.loop.create_future()
        self._presses[key] = waiting
        waiting.add_done_callback(lambda _: self._forget(key))
        self._begin(item, waiting)
        return await asyncio.shield(waiting)

    async def sent_before(self, press: str) -> str | None:
        """The task id of a press that this server or an earlier one has sent.

        Returns:
            The id; empty if the id is not known; None if the press was not sent, is being sent, or was refused.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        if press in self._presses or not self.history.knows(press):
            return None
        return next((entry.task_id for entry in await self.history.entries([press])), None) or ""

    def price_of(self, request: GenerationRequest) -> float | None:
        """The credits of a request, by the last known prices; None if they are not known."""
        learned = price_book(self._engine.poller.estimates).price_of(priced_as(request))
        if learned is not None:
            return learned.credits * request.expected
        return self._context.budget.price_of(kind_of(request))

    async def resume(self, task_id: str) -> bool:
        """Continue to poll a task for which the server stopped waiting; False if there is no such task.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        entry = await self.history.entry(task_id)
        if entry is None or entry.state not in PAID_TASK or entry.key in self._watched:
            return False
        self._begin(item_of(entry), None)
        await self._notify(entry.key)
        return True

    def current(self) -> list[Change]:
        """The spent credits, and the progress of each running task."""
        return [self._spending, *(_progress(event) for event in self._latest.values())]

    # The life of an item.

    def _begin(self, item: WorkItem, waiting: Waiting | None) -> None:
        run, key = ItemRun(self._context, item), item.key or ""
        self._watched.add(key)
        self._faults.pop(key, None)
        task = self._engine.spawn(self._complete(run, key, waiting))
        self._context.add(task, run)
        if waiting is not None:
            task.add_done_callback(lambda _: _fail_unanswered(waiting))

    def _forget(self, press: str) -> None:
        """Forget an accepted press, because the ledger has it. A refused press stays: if it comes again, it gets the same
        answer.
        """
        # The call also marks the exception as read, because its caller may have gone.
        if self._presses[press].exception() is None:
            del self._presses[press]

    async def _complete(self, run: ItemRun, key: str, waiting: Waiting | None) -> None:
        try:
            handle = await run.handle()
            self.history.name(key, handle.id)
            if run.kept is not None:
                await run.kept  # before the answer, because the caller then relies on the ledger
            if waiting is not None and not waiting.done():
                waiting.set_result(handle)
            await self._notify(key)
            await run.finish(handle)
        except LedgerError as fault:
            self._give_up(key, fault, waiting)
            self._faults[key] = fault.what_happened  # its task may continue, and its id may still be kept
        except FoxError as error:
            try:
                await run.fail(error)
            except LedgerError as fault:
                log.error("item %s: %s", key, fault, extra=about("item_unsaved"))
            self._give_up(key, error, waiting)
        self._watched.discard(key)
        await self._notify(key)

    def _give_up(self, key: str, error: FoxError, waiting: Waiting | None) -> None:
        """Give the error to the caller of the submit; if it has gone, keep the error for the page."""
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        else:
            self._faults[key] = error.what_happened

    async def _notify(self, key: str) -> None:
        with contextlib.suppress(LedgerError):  # the next writer gets the error
            if card := await self.history.card(key):
                self.broadcaster.put(Change("card", key, card))
            await self._count_spent()

    async def _count_spent(self) -> None:
        totals = await self._ledger.totals()
        spent = {"emulated": self._emulated, "spent": totals.spent, "unpriced": totals.unpriced}
        self._spending = Change("spending", "", spent)
        self.broadcaster.put(self._spending)

    async def _listen(self) -> None:
        async for event in self.fox.events():
            self._latest[event.task_id] = event
            if event.final:
                del self._latest[event.task_id]
            self.broadcaster.put(_progress(event))

    # Start and end.

    async def _resume_all(self) -> None:
        await note_unanswered(self._context)
        await self.history.load()
        await self._count_spent()
        async for entry in self._ledger.entries(*PAID_TASK):
            self._begin(item_of(entry), None)

    async def _close(self) -> None:
        self._closing = True
        await self._context.close()


async def _is_emulator(base_url: str, engine: Engine) -> bool:
    """Whether the service is on this machine and says that it is the emulator. In doubt, it is taken as a service that
    bills.
    """
    if not is_loopback(urlsplit(base_url).hostname or ""):
        return False
    reply = await engine._transport.read(MODELS_PATH)  # noqa: SLF001 - a part of the same package
    return isinstance(reply, Reply) and reply.headers.get("Server") == "foxapi-emulator"


def _progress(event: TaskEvent) -> Change:
    return Change("progress", event.task_id, ImageProgress.of(event).model_dump())


def _fail_unanswered(waiting: Waiting) -> None:
    if not waiting.done():
        waiting.set_exception(ConfigurationError("the server was stopped before there was an answer"))
