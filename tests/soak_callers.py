"""Long-term users of a session: they submit and wait, run out of patience, cancel, and stop reading series
halfway.

The prompt of each submit ends in its number in the books.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from asyncio import Future
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from weakref import WeakSet

from books import Books

from foxapi_async import (
    DownloadError,
    FoxError,
    FoxSession,
    GrokImagineImage,
    Outcome,
    TaskHandle,
    TaskResult,
    TaskTimeoutError,
)

Fetch = Callable[[TaskResult], Awaitable[object]]


class Callers:
    """All users of one session.

    Args:
        fox: the session.
        books: where they record their outcomes.
        chance: decides what they do.
        fetch: called with a result whose files are wanted.
        pace: how long they wait and how patient they are; 1 is for tasks of about 15 seconds.
    """

    def __init__(
        self, fox: FoxSession, books: Books, chance: random.Random, fetch: Fetch, pace: float = 1.0
    ) -> None:
        self.fetched = self.not_fetched = 0
        self._fox = fox
        self._books = books
        self._chance = chance
        self._fetch = fetch
        self._pace = pace
        self._habits: dict[Callable[[], Awaitable[None]], float] = {
            self._submit_and_wait: 50,
            self._generate: 25,
            self._read_along: 8,
            self._change_their_mind: 10,
            self._stop_and_attach: 5,
            self._read_series: 2,
        }

    async def one(self) -> None:
        """One caller, with a random kind of use."""
        (habit,) = self._chance.choices(list(self._habits), list(self._habits.values()))
        await habit()

    def _request(self, number: int) -> GrokImagineImage:
        return GrokImagineImage(f"soak {number}")

    def _seconds(self, low: float, high: float) -> float:
        return self._pace * self._chance.uniform(low, high)

    @contextlib.contextmanager
    def _booked(self, number: int) -> Iterator[None]:
        """Note the caller's final error."""
        try:
            yield
        except asyncio.CancelledError as error:
            self._books.end(number, error)
            raise
        except Exception as error:
            self._books.end(number, error)

    async def _take(self, number: int, result: TaskResult) -> None:
        self._books.end(number, result)
        if self._chance.random() >= 0.1:
            return
        try:
            await self._fetch(result)
            self.fetched += 1
        except DownloadError:
            self.not_fetched += 1

    async def _submit_and_wait(self) -> None:
        number = self._books.begin()
        with self._booked(number):
            handle = await self._submit(number)
            await self._take(number, await handle)

    async def _submit(self, number: int) -> TaskHandle:
        handle = await self._fox.submit(self._request(number))
        self._books.know(number, handle.id)
        return handle

    async def _generate(self) -> None:
        """With a deadline that may end before there is an id. Half of those who get an id attach to it later."""
        number = self._books.begin()
        late: FoxError | None = None
        with self._booked(number):
            try:
                result = await self._fox.generate(self._request(number), timeout=self._seconds(0.05, 60))
                await self._take(number, result)
            except TaskTimeoutError as error:
                self._books.end(number, error)
                late = error
        if late is not None and late.task_id is not None and self._chance.random() < 0.5:
            with self._booked(number):
                await self._take(number, await self._fox.attach(late.task_id))

    async def _read_along(self) -> None:
        number = self._books.begin()
        with self._booked(number):
            handle = await self._submit(number)
            async for _ in handle:
                pass
            await self._take(number, await handle)

    async def _change_their_mind(self) -> None:
        """Most of them when there is a handle, some while their POST is unanswered."""
        caller = asyncio.create_task(self._chance.choice([self._submit_and_wait, self._generate])())
        soon = self._chance.random() < 0.5
        await asyncio.wait([caller], timeout=self._seconds(0, 0.2) if soon else self._seconds(0, 20))
        caller.cancel()
        await asyncio.wait([caller])

    async def _stop_and_attach(self) -> None:
        number = self._books.begin()
        with self._booked(number):
            handle = await self._submit(number)
            await asyncio.sleep(self._seconds(0, 10))
            handle.stop()
            await asyncio.sleep(self._seconds(0, 30))
            await self._take(number, await self._fox.attach(handle.id))

    async def _read_series(self) -> None:
        """A third of them stop before the end."""
        numbers: list[int] = []
        size = self._chance.randint(3, 40)

        def source() -> Iterator[GrokImagineImage]:
            for _ in range(size):
                numbers.append(self._books.begin())
                yield self._request(numbers[-1])

        limit = self._chance.randint(1, size) if self._chance.random() < 1 / 3 else size
        async with contextlib.aclosing(self._fox.as_completed(source(), max_in_flight=10)) as outcomes:
            async for outcome in outcomes:
                await self._read_one(numbers[outcome.index], outcome)
                limit -= 1
                if limit == 0:
                    break
        for number in numbers:
            self._books.leave_unread(number)

    async def _read_one(self, number: int, outcome: Outcome) -> None:
        self._books.know(number, outcome.task_id)
        if outcome.result is not None:
            await self._take(number, outcome.result)
        elif outcome.error is not None:
            self._books.end(number, outcome.error)


def tables(fox: FoxSession) -> dict[str, int]:
    """The entries in each table of a session. They must not grow with the number of submits."""
    engine = fox._engine
    assert engine is not None
    poller, transport = engine.poller, engine._transport
    models = poller.estimates._models.values()
    in_flight = [
        each._in_flight for model in models for each in (model.timed, model.untimed, *model.by_progress)
    ]
    return {
        **{name: round(size) for name, size in poller.inspect().items()},
        "posts": len(engine.submitter._live),
        "open reads": len(transport._read_timeouts._open),
        "streams": len(engine.streams),
        "uploads": len(engine.uploads._stored),
        "believed in flight": round(sum(in_flight)),
        "items of series under way": sum(each._running for each in engine.pipelines),
        "series open": sum(not each.discarded.is_set() for each in engine.pipelines),
        "left series": sum(each.discarded.is_set() for each in engine.pipelines),
        "unread handles of left series": sum(len(each.handles) for each in engine.pipelines),
    }


PROMISED = frozenset({"detached", "left series", "unread handles of left series"})
"""Tables with the content of `FoxSession.unfinished`; all others are empty when nothing runs."""

MOST_ENTRIES = 250
"""No collection of an idle session has more entries, after any number of submits: a few for each connection
and model.
"""

_PROMISED_PATHS = ("fox._engine.pipelines", "fox._engine.submitter._poller._detached")
# Tables over the ages of tasks, of a fixed size, three collections of some hundred entries for each model and progress.
_FIXED_PATHS = ("fox._engine.submitter._poller.estimates._models[].",)


def grown_collections(fox: FoxSession) -> dict[str, int]:
    """The collections of a session that are larger than expected."""
    excused = _PROMISED_PATHS + _FIXED_PATHS
    found = collections_of(fox).items()
    return {path: size for path, size in found if size > MOST_ENTRIES and not path.startswith(excused)}


def collections_of(fox: FoxSession) -> dict[str, int]:
    """The entries of every collection that a session holds, by its path, also of unexpected ones."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("fox", fox)]
    while todo:
        path, each = todo.pop()
        if id(each) in seen or isinstance(each, Future | type | str | bytes):
            continue
        seen.add(id(each))
        if isinstance(each, Mapping):
            found[path] += len(each)
            todo += [(f"{path}[]", value) for value in [*each, *each.values()]]
        elif isinstance(each, AbstractSet | Sequence | deque | WeakSet):
            found[path] += len(each)
            todo += [(f"{path}[]", value) for value in each]
        elif type(each).__module__.startswith("foxapi_async"):
            names = [*getattr(each, "__dict__", ()), *getattr(type(each), "__slots__", ())]
            todo += [(f"{path}.{name}", getattr(each, name, None)) for name in names]
    return dict(found)
