"""The time of an exchange, and the fact that its request was handed over: no aiohttp in here."""

from __future__ import annotations

import asyncio
import functools
from types import TracebackType
from typing import ClassVar, Self

import attrs


class ExchangeFailed(Exception):  # noqa: N818 - a signal inside the package, never a user's error
    """A connection that could not be had or broke: `reason` says how, without secrets; `final` ones stay broken."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


# What has arrived counts: a sent request does not end at its limit while bytes of its answer keep coming. So long a
# pause means that none come any more, and reading goes on so long at most.
PAUSE = 0.025
LONGEST = 1.0


class Settling:
    """How long reading goes on past a limit. Moments are loop time in seconds.

    Args:
        now: when the limit is over.
        pieces: of the answer that have been read by then.
    """

    def __init__(self, now: float, pieces: int) -> None:
        self._end = now + LONGEST
        self._pieces = pieces
        self.when = now + PAUSE

    def is_over(self, now: float, pieces: int, *, busy: bool = False) -> bool:
        """Whether no bytes come any more, or it took too long; if not, the next moment to ask is `when`.

        A `busy` exchange has its whole answer, which is large and being parsed.
        """
        if (pieces == self._pieces and not busy) or now >= self._end:
            return True
        self._pieces = pieces
        self.when = min(now + PAUSE, self._end)
        return False


class Exchange:
    """The time of one exchange, and whether its request was handed over to the connection.

    That is noted when it happens, because no exception tells: `TimeoutError` and `ServerDisconnectedError` both
    occur before and after sending.

    A request that was not handed over ends exactly at its limit. Of one that was, an answer may lie in the socket by
    then, unread because the loop was blocked or the process was stopped. So the timer first looks whether bytes come.

    Args:
        connect: seconds until the request must have gone out.
        reply: seconds from there until the answer must be in.
    """

    def __init__(self, connect: float, reply: float) -> None:
        self.sent = False
        self._reply = reply
        self._revoked = False
        self._complete = False
        self._over = False  # whether its context was left
        self._pieces = 0
        self._loop = asyncio.get_running_loop()
        self._limit = self._loop.time() + connect
        self._last = float("inf")
        self._settling: Settling | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout = asyncio.timeout(None)

    @property
    def timeout(self) -> Self:
        """A context manager that raises `TimeoutError` when the limit is over."""
        return self

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._timer = self._loop.call_at(self._limit, self._ring)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_timer()
        self._over = True
        await self._timeout.__aexit__(kind, error, trace)

    def hand_over(self) -> None:
        """Note that bytes of the request are about to go out.

        Raises:
            ExchangeFailed: they may not any more; what is buffered so far never leaves.
        """
        if self._revoked:
            raise ExchangeFailed("given up before it was sent")
        self.sent = True
        self._settling = None
        self._limit = self._loop.time() + self._reply
        self._set_timer(min(self._limit, self._last))

    def came(self) -> None:
        """Note that a piece of the answer was read: its headers, or some of its body."""
        self._pieces += 1

    def complete(self) -> None:
        """Note that the whole answer was read: what is still to be done with it needs no limit."""
        self._complete = True
        self.stop_timer()

    def end_by(self, when: float) -> None:
        """Let the exchange, which was sent, end at `when` (loop time) at the latest, unless its answer is coming."""
        self._last = when
        if self._settling is None:  # else it ends as soon as no bytes come any more
            self._set_timer(min(self._limit, when))

    async def settle(self) -> None:
        """Wait, once the caller's time is over, as long as the answer of a sent request may still be coming.

        It takes at least 25 ms and at most 1 s, and ends as soon as no bytes come any more. Of a request that was not
        sent there is no answer: it returns at once.
        """
        if not self.sent:
            return
        settling = Settling(self._loop.time(), self._pieces)
        while True:
            await asyncio.sleep(settling.when - self._loop.time())
            if settling.is_over(self._loop.time(), self._pieces, busy=self._complete and not self._over):
                return

    def revoke(self) -> bool:
        """Take the request back; whether that was in time. Then it is certain that nothing is sent.

        Cancelling alone is not enough: aiohttp writes in a task of its own, which may have been scheduled already.
        """
        self._revoked = not self.sent
        return self._revoked

    def close(self) -> None:
        """The exchange is over: what `sent` says now stays true, because nothing goes out any more."""
        self._revoked = True
        self.stop_timer()

    def stop_timer(self) -> None:
        """Let no limit end it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:  # else it is over
            self._timer.cancel()
            self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if self._settling is None and self.sent:
            self._settling = Settling(now, self._pieces)
        elif self._settling is None or self._settling.is_over(now, self._pieces):
            self._timer = None
            self._timeout.reschedule(now)
            return
        self._set_timer(self._settling.when)


@attrs.define(eq=False)
class TimedExchange:
    """The time of one exchange among many of the same length, of which it does not matter what was sent."""

    _all: ExchangeTimeouts
    timeout: asyncio.Timeout = attrs.field(factory=functools.partial(asyncio.timeout, None), init=False)
    sent: ClassVar[bool] = True

    def came(self) -> None:
        """A piece of the answer was read: a read can be repeated, so its limit does not depend on that."""

    def complete(self) -> None:
        """The whole answer was read: what is still to be done with it needs no limit."""
        self._all.end(self)

    def close(self) -> None:
        """The exchange is over."""
        self._all.end(self)


class ExchangeTimeouts:
    """Ends each of many exchanges after the same time, with one timer for all of them.

    They run out in the order in which they began, so the timer need only know the oldest that is open.

    Args:
        seconds: how long each may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[TimedExchange, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> TimedExchange:
        """The time of an exchange that is entered at once."""
        loop = asyncio.get_running_loop()
        exchange = TimedExchange(self)
        self._open[exchange] = when = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(when, self._ring)
        return exchange

    def end(self, exchange: TimedExchange) -> None:
        """Forget one; without any there is no timer either."""
        self._open.pop(exchange, None)
        if self._timer is not None and not self._open:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        """The oldest has run out: its own timeout does the rest."""
        oldest = next(iter(self._open))
        oldest.timeout.reschedule(self._open.pop(oldest))
        following = next(iter(self._open.values()), None)
        loop = asyncio.get_running_loop()
        self._timer = None if following is None else loop.call_at(following, self._ring)
