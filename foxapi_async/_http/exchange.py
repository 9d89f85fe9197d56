"""The time limits of an exchange, and whether its request was handed over. This module does not import aiohttp."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, Self

import attrs

from foxapi_async._hints import Hint


class ExchangeFailed(Exception):  # noqa: N818 - a signal inside the package, never a user's error
    """No connection, or a broken one.

    `reason` describes it without secrets; `final` means that a retry cannot help; `hint` says what can be done.
    """

    def __init__(self, reason: str, *, final: bool = False, hint: Hint | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.hint = hint


# A sent request does not end at its limit while bytes of its answer keep arriving. A pause of `PAUSE` seconds
# means that no more arrive. Reading continues for `LONGEST` seconds at most.
PAUSE = 0.025
LONGEST = 1.0


class Settling:
    """How long reading continues after a limit. Moments are loop time in seconds.

    Args:
        now: when the limit ends.
        pieces: how many pieces of the answer have been read by then.
    """

    def __init__(self, now: float, pieces: int) -> None:
        self._end = now + LONGEST
        self._pieces = pieces
        self.when = now + PAUSE

    def is_over(self, now: float, pieces: int, *, busy: bool = False) -> bool:
        """Whether bytes have stopped or `LONGEST` has passed. If not, `when` is the next moment to check.

        A `busy` exchange has its whole answer, which is large and is being parsed.
        """
        if (pieces == self._pieces and not busy) or now >= self._end:
            return True
        self._pieces = pieces
        self.when = min(now + PAUSE, self._end)
        return False


class Exchange:
    """The time limits of one exchange, and whether its request was handed over to the connection.

    The hand-over is noted when it happens, because no exception shows it: `TimeoutError` and
    `ServerDisconnectedError` both occur before and after sending.

    A request that was not handed over ends exactly at its limit. After the hand-over, an answer may wait
    unread in the socket, because the loop was blocked or the process was stopped. So the timer first checks
    whether bytes arrive.

    Args:
        connect: seconds until the request must have been sent.
        reply: seconds from then until the answer must be complete.
        may_send: asked at the hand-over whether the request may still leave; None if it always may.
    """

    def __init__(self, connect: float, reply: float, may_send: Callable[[], bool] | None = None) -> None:
        self.sent = False
        self._may_send = may_send
        self._reply = reply
        self._cancelled = False
        self._complete = False
        self._over = False  # whether its context has exited
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
        self._timer = self._loop.call_at(self._limit, self._on_timer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_timer()
        self._over = True
        await self._timeout.__aexit__(kind, error, trace)

    def hand_over(self) -> None:
        """Note that bytes of the request are about to be sent.

        Raises:
            ExchangeFailed: the request may no longer be sent. Its buffered bytes are not sent either.
        """
        if self._cancelled:
            raise ExchangeFailed("given up before it was sent")
        if self._may_send is not None and not self._may_send():
            raise ExchangeFailed("not sent, because the permission to send had ended")
        self.sent = True
        self._settling = None
        self._limit = self._loop.time() + self._reply
        self._set_timer(min(self._limit, self._last))

    def note_received(self) -> None:
        """Note that a piece of the answer was read: its headers, or part of its body."""
        self._pieces += 1

    def complete(self) -> None:
        """Note that the whole answer was read: the rest of the work has no limit."""
        self._complete = True
        self.stop_timer()

    def end_by(self, when: float) -> None:
        """End the exchange, which was sent, at `when` (loop time) at the latest, unless its answer is arriving."""
        self._last = when
        if self._settling is None:  # else it ends when no more bytes arrive
            self._set_timer(min(self._limit, when))

    async def settle(self) -> None:
        """After the caller's deadline, wait while the answer of a sent request may still be arriving.

        This takes at least 25 ms and at most 1 s, and ends when no more bytes arrive. If the request was not
        sent, it returns at once.
        """
        if not self.sent:
            return
        settling = Settling(self._loop.time(), self._pieces)
        while True:
            await asyncio.sleep(settling.when - self._loop.time())
            if settling.is_over(self._loop.time(), self._pieces, busy=self._complete and not self._over):
                return

    def cancel(self) -> bool:
        """Withdraw the request. Return True if it was not sent yet. Then it is never sent.

        Cancelling alone is not enough: aiohttp writes in its own task, which may be scheduled already.
        """
        self._cancelled = not self.sent
        return self._cancelled

    def close(self) -> None:
        """End the exchange. Nothing is sent afterwards, so the value of `sent` is final."""
        self._cancelled = True
        self.stop_timer()

    def stop_timer(self) -> None:
        """Remove the time limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:  # else the limit was removed
            self._timer.cancel()
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
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
    """The time limit of one exchange among many with the same limit. It does not matter whether the request was sent."""

    _all: ExchangeTimeouts
    timeout: asyncio.Timeout = attrs.field(factory=functools.partial(asyncio.timeout, None), init=False)
    sent: ClassVar[bool] = True

    def note_received(self) -> None:
        """Ignore that a piece of the answer was read: a read can be repeated, so its limit stays."""

    def complete(self) -> None:
        """Remove the limit, because the whole answer was read."""
        self._all.end(self)

    def close(self) -> None:
        """End the exchange."""
        self._all.end(self)


class ExchangeTimeouts:
    """Ends each of many exchanges after the same time, with one timer for all.

    They end in the order in which they began, so the timer waits only for the oldest open exchange.

    Args:
        seconds: the time limit of each exchange.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[TimedExchange, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> TimedExchange:
        """The time limit of an exchange that starts now."""
        loop = asyncio.get_running_loop()
        exchange = TimedExchange(self)
        self._open[exchange] = when = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(when, self._on_timer)
        return exchange

    def end(self, exchange: TimedExchange) -> None:
        """Remove one exchange. If no other is open, stop the timer."""
        self._open.pop(exchange, None)
        if self._timer is not None and not self._open:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        """End the oldest exchange through its own timeout."""
        oldest = next(iter(self._open))
        oldest.timeout.reschedule(self._open.pop(oldest))
        following = next(iter(self._open.values()), None)
        loop = asyncio.get_running_loop()
        self._timer = None if following is None else loop.call_at(following, self._on_timer)
