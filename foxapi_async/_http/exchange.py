"""The time of an exchange, and the fact that its request was handed over: no aiohttp in here."""

from __future__ import annotations

import asyncio


class ExchangeFailed(Exception):  # noqa: N818 - a signal inside the package, never a user's error
    """A connection that could not be had or broke: `reason` says how, without secrets; `final` ones stay broken."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Exchange:
    """The time of one exchange, and whether its request was handed over to the connection.

    That is noted when it happens, because no exception tells: `TimeoutError` and `ServerDisconnectedError` both
    occur before and after sending.

    Args:
        connect: seconds until the request must have gone out.
        reply: seconds from there until the answer must be in.
    """

    def __init__(self, connect: float, reply: float) -> None:
        self.sent = False
        self._revoked = False
        self._reply = reply
        self._loop = asyncio.get_running_loop()
        self._last = float("inf")
        self.timeout = asyncio.timeout_at(self._loop.time() + connect)

    def hand_over(self) -> None:
        """Note that bytes of the request are about to go out.

        Raises:
            Broken: they may not any more; what is buffered so far never leaves.
        """
        if self._revoked:
            raise ExchangeFailed("given up before it was sent")
        self.sent = True
        self._move(self._loop.time() + self._reply)

    def end_by(self, when: float) -> None:
        """Let the exchange, which was sent, end at `when` (loop time) at the latest."""
        self._last = when
        self._move(self.timeout.when() or when)

    def _move(self, when: float) -> None:
        if not self.timeout.expired():  # pragma: no branch - it expires in this very turn
            self.timeout.reschedule(min(when, self._last))

    def revoke(self) -> bool:
        """Take the request back; whether that was in time. Then it is certain that nothing is sent.

        Cancelling alone is not enough: aiohttp writes in a task of its own, which may have been scheduled already.
        """
        self._revoked = not self.sent
        return self._revoked

    def close(self) -> None:
        """The exchange is over: what `sent` says now stays true, because nothing goes out any more."""
        self._revoked = True


class TimedExchange:
    """The time of one exchange among many of the same length, of which it does not matter what was sent."""

    __slots__ = ("_spans", "timeout")
    sent = True

    def __init__(self, spans: ExchangeTimeouts) -> None:
        self._spans = spans
        self.timeout = asyncio.timeout(None)

    def close(self) -> None:
        """The exchange is over."""
        self._spans.end(self)


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
        span = TimedExchange(self)
        self._open[span] = when = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(when, self._ring)
        return span

    def end(self, span: TimedExchange) -> None:
        """Forget one; without any there is no timer either."""
        self._open.pop(span, None)
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
