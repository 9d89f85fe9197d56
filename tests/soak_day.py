"""A day of a session's life in virtual time: callers come at random and in bursts, and a share of all
requests fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator

import attrs
from books import Account, Books
from soak_callers import Callers, grown_collections, tables
from soak_service import KEY, URL, Service

from foxapi_async import FoxSession, RetryPolicy, TaskResult

DAY = 24 * 3600.0
TASK_TIMEOUT = 900.0
BURST = 50
BURSTS = 1 / 500
USUAL = RetryPolicy(reply_timeout=30)


@attrs.frozen(kw_only=True)
class Report:
    """The results of a day.

    Attributes:
        account: the books.
        requests, troubles: the service's requests, and those with a fault.
        fetched, not_fetched: files.
        tables: the entries of the session's tables when nothing runs.
        grown: other collections of the session that have too many entries then.
        pending: asyncio's tasks after the session was closed, except the caller's own.
        seconds: of virtual time.
        odd: errors that no caller should see.
    """

    account: Account
    requests: Counter[str]
    troubles: Counter[str]
    fetched: int
    not_fetched: int
    tables: dict[str, int]
    grown: dict[str, int]
    pending: int
    seconds: float
    odd: list[str]


@contextlib.contextmanager
def kept_by(books: Books) -> Iterator[None]:
    """Send the package's log only to the books."""
    log = logging.getLogger("foxapi_async")
    log.addHandler(books)
    propagate, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.propagate = propagate
        log.removeHandler(books)


async def live_a_day(
    submits: int,
    *,
    seconds: float = DAY,
    faults: float = 0.05,
    seed: int = 0,
    retry: RetryPolicy = USUAL,
    look: Callable[[int], None] = lambda _: None,
) -> Report:
    """Make this many submits within this many seconds, and wait for all of them.

    Args:
        submits: about how many.
        seconds: the day's length.
        faults: the share of requests that fail.
        seed: decides everything random.
        retry: the session's.
        look: called from time to time with the number of submits so far.
    """
    random.seed(seed)  # the poller's phases and the back-off too
    chance = random.Random(seed)
    service, books = Service(faults, seed), Books()
    loop = asyncio.get_running_loop()
    began, others = loop.time(), asyncio.all_tasks()
    fox = FoxSession(
        KEY,
        base_url=URL,
        http=service,
        task_timeout=TASK_TIMEOUT,
        retry=retry,
    )
    with kept_by(books):
        async with fox:
            callers = Callers(fox, books, chance, read_first)
            async with asyncio.TaskGroup() as group:
                while books.begun < submits:
                    look(books.begun)
                    burst = chance.random() < BURSTS
                    before = books.begun
                    for _ in range(BURST if burst else 1):
                        group.create_task(callers.one())
                    await asyncio.sleep(0)
                    came = max(1, books.begun - before)
                    # By the rest of the day and of the submits: a series begins long before its last submit.
                    mean = (began + seconds - loop.time()) / max(1, submits - books.begun)
                    await asyncio.sleep(chance.expovariate(1 / max(1e-3, came * mean)))
            # Tasks whose callers have gone are polled until their time is over.
            await asyncio.sleep(TASK_TIMEOUT + 60)
            look(books.begun)
            left, grown = tables(fox), grown_collections(fox)
        books.report(handle.id for handle in fox.unfinished)
    for _ in range(5):
        await asyncio.sleep(0)
    return Report(
        account=books.close_against(service.bills),
        requests=service.requests,
        troubles=service.troubles,
        fetched=callers.fetched,
        not_fetched=callers.not_fetched,
        tables=left,
        grown=grown,
        pending=len(asyncio.all_tasks() - others),
        seconds=loop.time() - began,
        odd=books.odd,
    )


async def read_first(result: TaskResult) -> None:
    """Fetch the first file, into memory: a thread would delay virtual time."""
    await result.images[0].read()
