"""Every kind of request under every failure: a table of promises, and a runner that plays it.

Each row is a failure. Each of its columns has the package's promised answer (DESIGN.md, section 4). A cell is
played twice: the failure happens once, and it never ends. The sockets, the TLS and the HTTP are real. The
clock is that of a `VirtualLoop`, so times are exact. Waits are not random: every wait has its greatest
length.

`summary()` is the table in short, `run_all()` plays it all and counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import socket
import ssl
import struct
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import patch

import aiohttp.connector
import attrs
import trustme
from helpers import now, settle
from loops import VirtualLoop

from foxapi_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    DownloadError,
    FoxError,
    FoxSession,
    Gemini31FlashImage,
    GeneratedImage,
    InsufficientQuotaError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    ServiceUnavailableError,
    TaskTimeoutError,
    UncertainSubmitError,
    UnprocessableError,
)
from foxapi_async._client import poller
from foxapi_async._files import downloads
from foxapi_async._http import transport
from foxapi_async._http.exchange import PAUSE
from foxapi_async._retry import retry
from foxapi_async.emulator import Emulator, Fault
from foxapi_async.emulator._tasks import draw_duration

Kind = Literal["submit", "poll", "fetch", "upload", "download"]
KINDS: tuple[Kind, ...] = ("submit", "poll", "fetch", "upload", "download")

# The defaults of `RetryPolicy()`.
TRIES = 5
CONNECT_SECONDS = 10
REPLY_SECONDS = 60
# A read is bounded as a whole.
READ_SECONDS = 15

# The longest wait after the first, second, ... failure: full jitter below 0.25 s, doubled each time, at most 8 s.
WAITS = (0.25, 0.5, 1.0, 2.0)

# A 429 also slows the following requests, by at most this much, for any length of its wait.
SLOWER = 2

# The polled tasks take about this long, and their handles live this long.
TASK_SECONDS = 4
DURATION = draw_duration(TASK_SECONDS, 0, 1)
HANDLE_SECONDS = 60
# How late a finished task may be noticed with the cadence's normal polls.
LAG_SECONDS = 4
# Up to this age of a task, a 404 on a poll means that a replica lags behind.
FRESH_SECONDS = 10

# The size limits of files and replies here: lower than usual, so that a bomb need not be large.
MOST_BYTES = 1024 * 1024
# This many too large replies in a row end a handle.
MOST_TOO_LARGE = 3

# The service gets more than one request, but not many.
MANY_POLLS = (2, 20)

Range = tuple[float, float]


# The promises.


@attrs.frozen(kw_only=True)
class Answer:
    """The package's answer to a failure of one kind of request.

    Attributes:
        words: the same in few words.
        how: whether the request is repeated: never; up to `TRIES` times; up to `MOST_TOO_LARGE` times in a
            row; over a fresh connection; until the task's deadline; or while the task is so young that a
            replica may lag behind. Or there is no failure for it.
        error: exactly this class is raised at the end; None if there is still a value.
        charged: the error's.
        retryable: the error's.
        billed: submits that the service bills under an endless failure.
        says: words of the error; `{location}` stands for the target of a redirect.
    """

    words: str
    how: Literal["never", "tries", "in a row", "afresh", "deadline", "young", "fine"]
    error: type[FoxError] | None = None
    charged: str = "no"
    retryable: bool = False
    billed: int = 0
    says: str = ""


def again(error: type[FoxError], *, charged: str = "no", says: str = "") -> Answer:
    """Repeated with back-off, `TRIES` times in all; then `error`, which may be repeated if that costs nothing."""
    words = f"again, {TRIES} tries"
    return Answer(
        words=words, how="tries", error=error, charged=charged, retryable=charged == "no", says=says
    )


def at_once(error: type[FoxError], *, charged: str = "no", words: str = "refused at once") -> Answer:
    """`error` after the first try: another try would give the same."""
    return Answer(words=words, how="never", error=error, charged=charged)


def uncertain(*, billed: int) -> Answer:
    """Sent, and without proof of a refusal: never sent again, billed or not."""
    return attrs.evolve(
        at_once(UncertainSubmitError, charged="unknown", words="uncertain, never again"), billed=billed
    )


def fine(words: str = "no harm", *, billed: int = 0) -> Answer:
    """A value, as without the failure."""
    return Answer(words=words, how="fine", billed=billed)


BILLED_AND_UNCERTAIN = uncertain(billed=1)
# Its answer cannot be read, but the text in it that looks like an id is quoted.
UNCERTAIN_WITH_AN_ID = attrs.evolve(BILLED_AND_UNCERTAIN, says="it names task-")
UNTIL_THE_DEADLINE = Answer(
    words="again until the deadline", how="deadline", error=TaskTimeoutError, charged="yes"
)
# This session saw the id accepted, so the task is billed, for any later read.
WHILE_IT_IS_YOUNG = Answer(
    words=f"again for {FRESH_SECONDS} s, then refused", how="young", error=NotFoundError, charged="yes"
)
NOT_THE_SERVICE = "not the service's own answer"
# The error about a too large reply names the limit.
TOO_LARGE = "larger than 32 MiB"
TOO_LARGE_IN_A_ROW = Answer(
    words=f"an error after {MOST_TOO_LARGE} in a row",
    how="in a row",
    error=ResponseDecodeError,
    charged="yes",
    says=TOO_LARGE,
)
NOT_A_FILE = at_once(DownloadError, charged="yes", words="an error, not a file")
AFRESH = Answer(words="again over a new connection", how="afresh")


# The failures.


@attrs.frozen
class Spot:
    """A place in the network where the client's connections end instead of at the service."""

    name: Literal[
        "unknown host", "closed", "full", "resetting", "resetting TLS", "self-signed", "plain", "strange"
    ]
    door: Literal["plain", "name", "tls"] = "plain"
    says: bytes = b""


def strange(says: bytes) -> Spot:
    """Another server at this address, which sends these bytes to every client."""
    return Spot("strange", says=says)


Script = Callable[..., Fault]
"""Makes the fault of the service; called with the occasion and `times`."""


@attrs.frozen(kw_only=True)
class Row:
    """One failure, with the answer of each kind of request.

    Attributes:
        name: the failure.
        trouble: where connections end, or what the service does.
        submit, poll, fetch, upload, download: the answers; several if each is right.
        status: the status that the service answers, if it does; several if each is right.
        asked: the seconds in `Retry-After`.
        each: seconds that one failing try lasts, by kind.
        uses: how often the request is made; the failure happens between the first two if there are more.
        elsewhere: whether the failure is a redirect that a download follows.
    """

    name: str
    trouble: Spot | Script
    submit: Answer | tuple[Answer, ...]
    poll: Answer
    fetch: Answer
    upload: Answer
    download: Answer
    status: int | tuple[int | None, ...] | None = None
    asked: float | None = None
    each: Mapping[str, float] = attrs.Factory(dict)
    uses: int = 1
    elsewhere: bool = False

    def answers(self, kind: Kind) -> tuple[Answer, ...]:
        """The possible answers of a request of this kind."""
        answer = getattr(self, kind)
        return answer if isinstance(answer, tuple) else (answer,)


def lost(name: str, trouble: Spot | Script, *, submit: Answer | tuple[Answer, ...], **rest: Any) -> Row:
    """A request without an answer: reads and uploads may be repeated; for a submit it matters what was sent."""
    return transient(name, trouble, ConnectionFailedError, submit=submit, **rest)


def transient(
    name: str,
    trouble: Spot | Script,
    error: type[FoxError],
    *,
    submit: Answer | tuple[Answer, ...],
    **rest: Any,
) -> Row:
    """A failure that may pass in a moment, for all requests that cost nothing."""
    answers: dict[str, Any] = {
        "poll": UNTIL_THE_DEADLINE,
        "fetch": again(error),
        "upload": again(error),
        "download": again(DownloadError, charged="yes"),
    }
    return Row(name=name, trouble=trouble, submit=submit, **(answers | rest))


def page(name: str, trouble: Spot | Script, **rest: Any) -> Row:
    """A success without JSON: it comes from something in front of the service, so a plain error names it."""
    edge = again(APIError, says=NOT_THE_SERVICE)
    poll = attrs.evolve(UNTIL_THE_DEADLINE, says=NOT_THE_SERVICE)
    return unreadable(name, trouble, **({"fetch": edge, "upload": edge, "poll": poll} | rest))


def unreadable(name: str, trouble: Spot | Script, **rest: Any) -> Row:
    """A success without content: for a submit it counts as no answer, and it is not a file."""
    answers: dict[str, Any] = {"submit": BILLED_AND_UNCERTAIN, "download": NOT_A_FILE, "status": 200}
    return transient(name, trouble, ResponseDecodeError, **(answers | rest))


def broken_off(name: str, trouble: Spot | Script, **rest: Any) -> Row:
    """A success whose body breaks off: unread to its end, but a file may still be fetched."""
    answers: dict[str, Any] = {"submit": uncertain(billed=0), "status": 200}
    return transient(name, trouble, ResponseDecodeError, **(answers | rest))


def refusal(status: int, error: type[FoxError], **rest: Any) -> Row:
    """A refusing status: nothing was billed, and nothing is repeated."""
    refused = at_once(error)
    answers: dict[str, Any] = {
        "submit": refused,
        "poll": attrs.evolve(refused, charged="yes"),
        "fetch": refused,
        "upload": refused,
        "download": at_once(DownloadError, charged="yes"),
    }
    return Row(**({"name": str(status), "trouble": says(status), "status": status} | answers | rest))


def elsewhere(status: int) -> Row:
    """A redirect to another origin: only a download follows it, and an error names its target.

    It comes from something in front of the service. A submit was not passed on, and a later read may succeed.
    """
    there = "redirected to {location}"
    return refusal(
        status,
        APIError,
        name=f"{status} to another origin",
        trouble=points(status),
        submit=attrs.evolve(at_once(APIError), says=there),
        poll=attrs.evolve(UNTIL_THE_DEADLINE, says=there),
        fetch=again(APIError, says=there),
        upload=again(APIError, says=there),
        download=fine("followed without the key"),
        elsewhere=True,
    )


def too_large(name: str, trouble: Script) -> Row:
    """A success above the size limit: several in a row also end a handle, because it will not become smaller."""
    error = again(ResponseDecodeError, says=TOO_LARGE)
    return unreadable(
        name, trouble, submit=UNCERTAIN_WITH_AN_ID, poll=TOO_LARGE_IN_A_ROW, fetch=error, upload=error
    )


def sorry(status: int, error: type[FoxError], *, accepted: bool = False) -> Row:
    """A status that means "later", and for a submit nothing: it may come after the bill."""
    return transient(
        f"{status}, billed all the same" if accepted else str(status),
        says(status, accepted=accepted),
        error,
        submit=uncertain(billed=int(accepted)),
        status=status,
    )


def says(status: int, **options: Any) -> Script:
    """The service answers with a status."""
    return lambda on, **scope: Fault.status(on, status, **options, **scope)


def answers(body: str, kind: str = "application/json") -> Script:
    """The service does the work and answers 200 with this body."""
    return lambda on, **scope: Fault.garbage(on, body=body.encode(), content_type=kind, **scope)


def nothing(status: int) -> Script:
    """The service does the work and answers with an empty body."""
    return lambda on, **scope: Fault.garbage(on, body=b"", status=status, **scope)


def drips(seconds: float) -> Script:
    """The service sends its answer in twenty pieces spread over this many seconds."""
    return lambda on, **scope: Fault.drip(on, seconds, **scope)


def bombs(size: int) -> Script:
    """The service answers with a body that unpacks to this many bytes."""
    return lambda on, **scope: Fault.bomb(on, size=size, **scope)


def points(status: int) -> Script:
    """The service redirects to another origin, where the file is as well."""
    return lambda on, location, **scope: Fault.redirect(on, location, status=status, **scope)


@attrs.frozen
class Group:
    """Failures that the docs show as one."""

    title: str
    rows: tuple[Row, ...]


# The table.

NOTHING_SENT = again(ConnectionFailedError)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# The operating system decides whether a reset is noticed before or after the hand-over.
SENT_OR_NOT = (NOTHING_SENT, uncertain(billed=0))

# A submit, an upload and a file have 10 s to get a connection; a read has 15 s in all.
NO_CONNECTION = {
    **dict.fromkeys(("submit", "upload", "download"), CONNECT_SECONDS),
    **dict.fromkeys(("poll", "fetch"), READ_SECONDS),
}
# From there 60 s for the answer, and a pause which shows that none is coming; for the head of a file it is
# both limits together.
NO_ANSWER = {
    **dict.fromkeys(("submit", "upload"), REPLY_SECONDS + PAUSE),
    **dict.fromkeys(("poll", "fetch"), READ_SECONDS),
    "download": CONNECT_SECONDS + REPLY_SECONDS,
}
# One of twenty pieces comes every 6 s, also when the 60 s are over: reading continues for one more pause. A file
# with less than 1 KiB/s over 30 s is broken off.
DRIPPED = NO_ANSWER | dict.fromkeys(("submit", "upload"), REPLY_SECONDS + 2 * PAUSE) | {"download": 30}

TABLE = (
    Group(
        "nothing sent: DNS, refused, TLS, no connection",
        (
            lost("DNS error", Spot("unknown host", "name"), submit=NOTHING_SENT),
            lost("refused", Spot("closed"), submit=NOTHING_SENT),
            lost("connect timeout", Spot("full"), submit=NOTHING_SENT, each=NO_CONNECTION),
            lost("certificate not accepted", Spot("self-signed", "tls"), submit=NOTHING_SENT),
            lost("server without TLS", Spot("plain", "tls"), submit=NOTHING_SENT),
            lost("reset in the TLS handshake", Spot("resetting TLS", "tls"), submit=NOTHING_SENT),
        ),
    ),
    Group(
        "reset as the connection stands", (lost("reset on accept", Spot("resetting"), submit=SENT_OR_NOT),)
    ),
    Group(
        "no whole answer: cut, hang",
        (
            lost("cut before accepting", Fault.cut_before, submit=uncertain(billed=0)),
            lost("cut after accepting", Fault.cut_after, submit=BILLED_AND_UNCERTAIN),
            lost("hang past the timeout", Fault.hang, submit=BILLED_AND_UNCERTAIN, each=NO_ANSWER),
            broken_off("body cut off", Fault.short_body, submit=UNCERTAIN_WITH_AN_ID),
        ),
    ),
    Group(
        "slow drip",
        (
            lost(
                "slow drip",
                drips(120),
                submit=BILLED_AND_UNCERTAIN,
                status=(200, None),  # its head came, its body did not
                each=DRIPPED,
            ),
        ),
    ),
    Group(
        "400, 401, 402 without a quota code, 403, 409, 413, 422",
        (
            refusal(400, BadRequestError),
            refusal(401, AuthenticationError),
            refusal(
                402,
                InsufficientQuotaError,
                name="402 without a quota code",
                trouble=says(402, code="payment_required", error_type="payment_required"),
            ),
            refusal(403, PermissionDeniedError),
            refusal(409, APIError),
            refusal(413, PayloadTooLargeError),
            refusal(422, UnprocessableError),
        ),
    ),
    Group(
        "402 with a quota code",
        (
            refusal(
                402, InsufficientQuotaError, poll=attrs.evolve(UNTIL_THE_DEADLINE, says="insufficient_quota")
            ),
        ),
    ),
    Group("404", (refusal(404, NotFoundError, poll=WHILE_IT_IS_YOUNG),)),
    Group(
        "429",
        (
            transient("429", says(429), RateLimitError, submit=again(RateLimitError), status=429),
            transient(
                "429 with Retry-After",
                says(429, retry_after=7),
                RateLimitError,
                submit=again(RateLimitError),
                status=429,
                asked=7,
            ),
        ),
    ),
    Group(
        "408, 5xx",
        (
            sorry(408, APIError),
            sorry(500, ServerError),
            sorry(502, ServerError),
            sorry(503, ServiceUnavailableError),
            sorry(504, ServerError),
            sorry(408, APIError, accepted=True),
            sorry(500, ServerError, accepted=True),
            sorry(502, ServerError, accepted=True),
            sorry(503, ServiceUnavailableError, accepted=True),
            sorry(504, ServerError, accepted=True),
        ),
    ),
    Group(
        "200 with HTML, text, broken or other JSON",
        (
            page("HTML", Fault.html),
            page("plain text", answers("error code: 1010", "text/plain")),
            page("truncated JSON", answers('{"id": "task-unified-17')),
            unreadable("an array", answers('[{"id": "task-1", "status": "pending", "url": "http://x/y"}]')),
            unreadable("no id, status or url", answers('{"object": "image.generation.task"}')),
            page("204", nothing(204), status=204),
            unreadable("id a list", answers('{"id": ["task-1"], "status": 5, "url": ["http://x/y"]}')),
        ),
    ),
    Group(
        "no HTTP that can be read",
        (
            lost("not HTTP", strange(b"SSH-2.0-OpenSSH_9.6\r\n"), submit=uncertain(billed=0)),
            lost("endless header", strange(OK + b"X: " + bytes(200_000)), submit=uncertain(billed=0)),
            lost(
                "broken chunks",
                strange(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
                submit=uncertain(billed=0),
            ),
            page(
                "not gzip",
                strange(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
                submit=uncertain(billed=0),
                download=again(DownloadError, charged="yes"),
            ),
        ),
    ),
    Group(
        "200 with an id, the rest of wrong types",
        (
            # Any 2xx with an id is accepted, and an invalid status proves nothing.
            unreadable(
                "status a number", answers('{"id": "task-1", "status": 5}'), submit=fine("accepted", billed=1)
            ),
            # A single text is a result, like a list of texts; it is not a link, so there is no image.
            unreadable(
                "results a string",
                answers('{"id": "task-1", "status": "completed", "results": "soon"}'),
                submit=fine("accepted", billed=1),
                poll=fine("taken as it is"),
                fetch=fine("taken as it is"),
            ),
            unreadable(
                "results inside the reply",
                answers('{"id": "task-1", "status": "completed", "results": [{"b64_json": "iVBORw0KGgo="}]}'),
                submit=fine("accepted", billed=1),
                poll=fine("taken as it is"),
                fetch=fine("taken as it is"),
            ),
            # Completed without results: not finished yet.
            unreadable(
                "results a number",
                answers('{"id": "task-1", "status": "completed", "results": 5}'),
                submit=fine("accepted", billed=1),
                fetch=fine("taken as it is"),
            ),
        ),
    ),
    Group(
        "200 that is too large, or a decompression bomb",
        (
            too_large("huge body", Fault.huge),
            too_large("decompression bomb", bombs(8 * 1024 * 1024)),
        ),
    ),
    Group(
        "redirect to another origin",
        (elsewhere(302), elsewhere(307)),
    ),
    Group(
        "kept connection dropped",
        (
            lost(
                "keep-alive dropped",
                Fault.stale,
                # Submits and uploads use fresh connections: there is nothing to drop.
                submit=fine("never kept", billed=2),
                upload=fine("never kept"),
                poll=AFRESH,
                fetch=AFRESH,
                download=AFRESH,
                uses=2,
            ),
        ),
    ),
)

ROWS = {row.name: row for group in TABLE for row in group.rows}

# The right result of a cell, derived from its row.


@attrs.frozen
class Cell:
    """One kind of request under one failure, which happens once or never ends."""

    row: Row
    kind: Kind
    endless: bool

    def __str__(self) -> str:
        return f"{self.kind}-{self.row.name}-{'for ever' if self.endless else 'once'}".replace(" ", "_")


CELLS = [Cell(row, kind, endless) for row in ROWS.values() for kind in KINDS for endless in (False, True)]


@attrs.frozen(kw_only=True)
class Expected:
    """The outcome of a cell; for a range, the least and the most."""

    error: type[FoxError] | None = None
    charged: str = "no"
    retryable: bool = False
    tries: Range
    seconds: Range
    billed: int
    says: str = ""


def expected(cell: Cell) -> tuple[Expected, ...]:
    """The possible outcomes of a cell."""
    return tuple(_expected(cell, answer) for answer in cell.row.answers(cell.kind))


def _expected(cell: Cell, answer: Answer) -> Expected:
    fails = answer.error is not None and (cell.endless or answer.how == "never")
    how = (answer.error, answer.charged, answer.retryable) if fails else (None, "no", False)
    tries, seconds = (_of_poll if cell.kind == "poll" else _of_call)(cell, answer)
    billed = {"submit": answer.billed if fails else max(1, answer.billed), "upload": 0}.get(cell.kind, 1)
    return Expected(
        error=how[0],
        charged=how[1],
        retryable=how[2],
        tries=tries,
        seconds=seconds,
        billed=billed,
        says=answer.says if fails else "",
    )


def _of_call(cell: Cell, answer: Answer) -> tuple[Range, Range]:
    """Tries and seconds of a request that is made at most a few times."""
    row, each = cell.row, cell.row.each.get(cell.kind, 0.0)
    if answer.how == "tries":
        struck = TRIES if cell.endless else 1
        least, most = _waits(row.asked, TRIES - 1 if cell.endless else 1)
        if row.status == 429 and cell.endless:
            most *= SLOWER
        tries = TRIES if cell.endless else 2
        return (tries, tries), (struck * each + least, struck * each + most)
    if answer.how == "afresh":  # the second use finds its connection dropped
        return (row.uses + 1, row.uses + 1), (WAITS[0], WAITS[0])
    return (row.uses, row.uses), (row.uses * each, row.uses * each)


def _waits(asked: float | None, count: int) -> Range:
    """The waits between tries in all: ours, or a little more than the service requests."""
    own = sum(WAITS[:count])
    return (own, own) if asked is None else (count * asked, count * (1.1 * asked + 0.05))


def _of_poll(cell: Cell, answer: Answer) -> tuple[Range, Range]:
    """Polls and seconds since the submit."""
    if answer.how in ("never", "fine"):
        return (1, 1), (0, DURATION + LAG_SECONDS)
    if cell.endless and answer.how == "deadline":
        return MANY_POLLS, (HANDLE_SECONDS, HANDLE_SECONDS)
    if cell.endless and answer.how == "young":
        return MANY_POLLS, (FRESH_SECONDS, FRESH_SECONDS)
    if cell.endless and answer.how == "in a row":
        return (MOST_TOO_LARGE, MOST_TOO_LARGE), (
            0,
            DURATION + LAG_SECONDS + sum(WAITS[: MOST_TOO_LARGE - 1]),
        )
    extra = cell.row.each.get("poll", 0) + (cell.row.asked or 0)
    return MANY_POLLS, (DURATION, DURATION + LAG_SECONDS + extra)


# The network.


@attrs.define(eq=False)
class Switchboard:
    """Sends the next connections to the service's door to a bad spot instead.

    Attributes:
        left: how many more; infinity for an endless failure.
        struck: how many so far.
    """

    spot: Spot
    address: tuple[str, int]
    door: int
    left: float = 0
    struck: int = 0

    def strikes(self) -> bool:
        """Whether this connection is one of them."""
        if self.left <= 0:
            return False
        self.left -= 1
        self.struck += 1
        return True

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Stand between the client and the network of the running loop."""
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            ours = address[1] == self.door and self.spot.name != "unknown host"
            await connect(sock, self.address if ours and self.strikes() else address)

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            if self.spot.name == "unknown host" and self.strikes():
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

        with patch.multiple(loop, create=True, sock_connect=sock_connect, getaddrinfo=getaddrinfo):
            yield


async def bad_address(spot: Spot, stack: contextlib.AsyncExitStack, service: int) -> tuple[str, int]:
    """A real address with this failure."""
    if spot.name in ("unknown host", "plain"):
        return "127.0.0.1", service  # it answers, in plain HTTP
    if spot.name in ("closed", "full"):
        return stack.enter_context(_deaf(full=spot.name == "full"))
    if spot.name == "self-signed":
        return await _listen(stack, asyncio.Protocol, STRANGER)
    if spot.name == "strange":
        return await _listen(stack, lambda: Strange(spot.says))
    return await _listen(stack, lambda: Resetting(at_once=spot.name == "resetting"))


@contextlib.contextmanager
def _deaf(*, full: bool) -> Iterator[tuple[str, int]]:
    """A port that refuses connections, or whose queue is full: then Linux drops the SYN."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        if full:
            sock.listen(0)
            while _is_answered(stack.enter_context(socket.socket()), sock.getsockname()):
                pass
        yield sock.getsockname()


def _is_answered(sock: socket.socket, address: tuple[str, int]) -> bool:
    """Whether a connection opens at once, as on loopback unless the other side's queue is full."""
    sock.setblocking(False)
    sock.connect_ex(address)
    return bool(select.select([], [sock], [], 0)[1])


async def _listen(
    stack: contextlib.AsyncExitStack,
    protocol: Callable[[], asyncio.BaseProtocol],
    tls: ssl.SSLContext | None = None,
) -> tuple[str, int]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    stack.callback(server.close)
    address: tuple[str, int] = server.sockets[0].getsockname()
    return address


class Strange(asyncio.Protocol):
    """Sends the same bytes after any input, and closes."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._says)
            self._transport.close()


class Resetting(asyncio.Protocol):
    """Resets each connection: on acceptance, or after the client's first bytes."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._at_once:
            self._reset()

    def data_received(self, data: bytes) -> None:
        self._reset()

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # on, with no time: closing sends RST
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()


def _server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


AUTHORITY = trustme.CA()
SERVICE = _server_tls(AUTHORITY)
STRANGER = _server_tls(trustme.CA())
CLIENT = _client_tls(AUTHORITY)


# The runner.

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2000)
REQUEST = Gemini31FlashImage("a red fox", resolution="512", output_format="jpg")
OCCASIONS: dict[Kind, Any] = {
    "submit": "submit",
    "poll": "poll",
    "fetch": "poll",
    "upload": "upload",
    "download": "file",
}
PATHS: dict[Kind, tuple[str, str]] = {
    "submit": ("POST", "/v1/images/generations"),
    "poll": ("GET", "/v1/tasks/"),
    "fetch": ("GET", "/v1/tasks/"),
    "upload": ("POST", "/v1/files/upload/"),
    "download": ("GET", "/files/"),
}


@attrs.define
class Seen:
    """The result of a cell.

    Attributes:
        value: the returned value.
        error: the raised error.
        seconds: how long it took.
        requests: the requests of the cell's kind that the service got.
        all_requests: including the preparing ones.
        struck: how often the failure happened.
        cut_off: how many tries never arrived at the service.
        billed: how many submits were billed.
        location: the target of a redirect.
        elsewhere: for each request at the other origin, whether it had a key.
        leaks: whether the error holds the key.
        left_over: tasks and files that are left after everything is closed.
    """

    value: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    requests: int = 0
    all_requests: int = 0
    struck: int = 0
    cut_off: int = 0
    billed: int = 0
    location: str = ""
    elsewhere: tuple[bool, ...] = ()
    leaks: bool = False
    left_over: list[str] = attrs.Factory(list)


async def play(cell: Cell) -> Seen:
    """Play a cell on the running loop, which is virtual."""
    seen = Seen()
    with longest_waits(), tempfile.TemporaryDirectory() as folder:
        async with Emulator(seconds=20) as other, contextlib.AsyncExitStack() as stack:
            await Stage(cell, seen, Path(folder), other, stack).play()
        await settle()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        seen.left_over += [repr(task) for task in tasks]
        seen.left_over += _unfinished_files(Path(folder), 0 if seen.error else cell.row.uses)
    return seen


def _unfinished_files(folder: Path, whole: int) -> list[str]:
    """The names in the folder if they are more than the files that were saved."""
    names = [path.name for path in folder.iterdir()]
    return names if len(names) > whole else []


@contextlib.contextmanager
def longest_waits() -> Iterator[None]:
    """Remove the randomness from the waits, and trust the authority of the service's certificate."""
    chance = SimpleNamespace(uniform=lambda _, high: high)
    with (
        patch.object(retry, "random", chance),
        patch.object(poller, "random", chance),
        patch.object(downloads, "MAX_FILE_BYTES", MOST_BYTES),
        patch.object(transport, "MAX_JSON_BYTES", MOST_BYTES),
        patch.object(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", CLIENT),
    ):
        yield


class Stage:
    """One cell's service, network and client."""

    def __init__(
        self, cell: Cell, seen: Seen, folder: Path, other: Emulator, stack: contextlib.AsyncExitStack
    ) -> None:
        self.cell, self.seen, self.folder, self.other, self.stack = cell, seen, folder, other, stack
        self.emulator = Emulator(seconds=0 if cell.kind == "download" else TASK_SECONDS)
        self.board: Switchboard | None = None
        self.url = self.elsewhere = ""

    async def play(self) -> None:
        """Set up, prepare the request's subject, start the failure, and observe."""
        seen, emulator = self.seen, await self.stack.enter_async_context(self.emulator)
        await self.open_door()
        subject = await self.prepare()
        if self.cell.row.elsewhere:
            async with FoxSession(self.other.key, base_url=self.other.url) as there:
                self.elsewhere = seen.location = (await there.upload(PICTURE)).url
        # An API that works, and files that may not.
        url = emulator.url if self.cell.kind == "download" else self.url
        async with FoxSession(emulator.key, base_url=url) as fox:
            before, before_there = len(emulator.requests), len(self.other.requests)
            began = now()
            try:
                seen.value = await self.use(fox, subject)
            except Exception as error:
                seen.error = error
            seen.seconds = now() - began
            seen.requests = sum(self.is_one(record) for record in emulator.requests[before:])
        seen.billed, seen.all_requests = emulator.billed, len(emulator.requests)
        seen.elsewhere = tuple(record.authorized for record in self.other.requests[before_there:])
        seen.cut_off = 0 if self.board is None else self.board.struck
        seen.struck = seen.cut_off + emulator.faults_fired
        seen.leaks = emulator.key in reported(seen.error)

    async def open_door(self) -> None:
        """The client's address, and where its connections end during the failure."""
        spot = self.cell.row.trouble
        self.url = self.emulator.url
        if not isinstance(spot, Spot):
            return
        port = service = int(self.url.rpartition(":")[2])
        if spot.door == "tls":
            assert self.emulator._runner is not None
            _, port = await _listen(self.stack, self.emulator._runner.server, SERVICE)
            self.url = f"https://127.0.0.1:{port}"
        elif spot.door == "name":
            self.url = f"http://localhost:{port}"
        self.board = Switchboard(spot, await bad_address(spot, self.stack, service), port)
        self.stack.enter_context(self.board.installed())

    async def prepare(self) -> str:
        """The task that is fetched or whose image is downloaded, made in another session, with other connections."""
        if self.cell.kind not in ("fetch", "download"):
            return ""
        async with FoxSession(self.emulator.key, base_url=self.emulator.url) as fox:
            handle = await fox.submit(REQUEST)
            handle.stop()
            return handle.id

    async def find_image(self, fox: FoxSession, task_id: str) -> GeneratedImage:
        """The image of a task. If the network is bad, it has another name of its host, without a kept connection."""
        (image,) = (await fox.fetch(task_id)).images
        door = self.url.replace("http://127.0.0.1", "http://localhost")
        return (
            image
            if self.board is None
            else attrs.evolve(image, url=image.url.replace(self.emulator.url, door))
        )

    async def use(self, fox: FoxSession, subject: Any) -> Any:
        """Make the request as often as in the row."""
        if self.cell.kind == "poll":
            handle = await fox.submit(REQUEST, timeout=HANDLE_SECONDS)
            await self.let_in()
            return await handle
        if self.cell.kind == "download":
            subject = await self.find_image(fox, subject)
        await self.let_in()
        for _ in range(self.cell.row.uses - 1):
            await self.call(fox, subject, self.folder / "first")
        return await self.call(fox, subject, self.folder / "image")

    async def call(self, fox: FoxSession, subject: Any, path: Path) -> Any:
        """Make the request once."""
        if self.cell.kind == "submit":
            return await fox.submit(REQUEST)
        if self.cell.kind == "fetch":
            return await fox.fetch(subject)
        if self.cell.kind == "upload":
            return await fox.upload(PICTURE)
        return await subject.save(path)

    async def let_in(self) -> None:
        """From now on the failure happens."""
        row, times = self.cell.row, None if self.cell.endless else 1
        if self.board is not None:
            self.board.left = math.inf if times is None else times
        else:
            where = {"location": self.elsewhere} if row.elsewhere else {}
            self.emulator.add_fault(row.trouble(OCCASIONS[self.cell.kind], times=times, **where))

    def is_one(self, record: Any) -> bool:
        """Whether a request is one of the cell's kind."""
        method, path = PATHS[self.cell.kind]
        return record.method == method and record.path.startswith(path)


def reported(error: BaseException | None) -> str:
    """All texts of an error and of its attached errors."""
    if error is None:
        return ""
    chain = "".join(traceback.format_exception(error))
    return f"{error!r} {error.args!r} {vars(error)!r} {error.__cause__!r} {error.__context__!r} {chain}"


# The comparison.


def problems(cell: Cell, seen: Seen) -> list[str]:
    """The differences of a cell: against the common rules, and against all its possible outcomes."""
    verdicts = [list(_differences(cell, answer, seen)) for answer in expected(cell)]
    return [*_broken(cell, seen), *min(verdicts, key=len)]


def _differences(cell: Cell, answer: Expected, seen: Seen) -> Iterator[str]:
    if type(seen.error) is not (answer.error or type(None)):
        yield f"expected {answer.error or 'a value'}, not {seen.error!r}"
    elif isinstance(seen.error, FoxError):
        given, wanted = (seen.error.charged, seen.error.retryable), (answer.charged, answer.retryable)
        if wanted != given:
            yield f"expected charged, retryable = {wanted}, not {given}"
        yield from _wrong_status(cell, seen.error)
        words = answer.says.replace("{location}", seen.location)
        if words not in str(seen.error):
            yield f"expected the words {words!r}, not {seen.error}"
    if not _within(seen.requests + seen.cut_off, answer.tries):
        yield f"expected {answer.tries} tries, not {seen.requests} seen and {seen.cut_off} cut off"
    if not _within(seen.seconds, answer.seconds, 0.002):
        yield f"expected {answer.seconds} seconds, not {seen.seconds}"
    if answer.billed != seen.billed:
        yield f"expected {answer.billed} billed, not {seen.billed}"


def _within(figure: float, range_: Range, slack: float = 0.0) -> bool:
    return range_[0] - slack <= figure <= range_[1] + slack


def _wrong_status(cell: Cell, error: FoxError) -> Iterator[str]:
    wanted, given = cell.row.status, getattr(error, "status", None)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    if isinstance(error, APIError | UncertainSubmitError) and given not in wanted:
        yield f"expected status {wanted}, not {given}"
    if cell.row.asked and isinstance(error, RateLimitError) and error.retry_after != cell.row.asked:
        yield f"expected retry_after {cell.row.asked}, not {error.retry_after}"
    if cell.kind in ("poll", "fetch", "download") and error.task_id is None:
        yield "expected the task's id"


def billed_twice(cell: Cell, seen: Seen) -> int:
    """Submits that the service billed beyond the intended ones."""
    asked = {"submit": cell.row.uses, "upload": 0}.get(cell.kind, 1)
    return max(0, seen.billed - asked)


def lost_images(cell: Cell, seen: Seen) -> int:
    """Billed submits whose caller has neither an id nor a report that they may be billed."""
    told_so = isinstance(seen.error, UncertainSubmitError) or getattr(seen.error, "task_id", None)
    return 0 if seen.value is not None or told_so or cell.kind == "upload" else seen.billed


def _broken(cell: Cell, seen: Seen) -> Iterator[str]:
    if not seen.struck:
        yield "the failure never struck"
    if billed_twice(cell, seen):
        yield "billed twice"
    if lost_images(cell, seen):
        yield "a paid image is lost"
    if seen.error is not None and not isinstance(seen.error, FoxError):
        yield f"no FoxError: {seen.error!r}"
    if cell.kind == "submit" and getattr(seen.error, "charged", "") == "no" and seen.billed:
        yield 'charged == "no" though billed'
    if seen.leaks:
        yield "the key is in the error"
    if any(seen.elsewhere) or (seen.elsewhere and cell.kind != "download"):
        yield f"another origin was asked: {seen.elsewhere}"
    if seen.left_over:
        yield f"left over: {seen.left_over}"


# The table in short, and all of it at once.


def summary() -> str:
    """The table as Markdown, one line for each group of failures."""
    columns: dict[str, tuple[Kind, ...]] = {
        "submit": ("submit",),
        "poll": ("poll",),
        "fetch, upload": ("fetch", "upload"),
        "download": ("download",),
    }
    lines = [f"| failure | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for group in TABLE:
        words = [_words(group, kinds) for kinds in columns.values()]
        lines.append(f"| {group.title} | {' | '.join(words)} |")
    return "\n".join(lines)


def _words(group: Group, kinds: tuple[Kind, ...]) -> str:
    answers = [answer.words for kind in kinds for row in group.rows for answer in row.answers(kind)]
    return "; or ".join(dict.fromkeys(answers))


@attrs.frozen
class Totals:
    """The results of all cells.

    Attributes:
        cells: how many were played.
        faults: how often a failure happened.
        requests: all that were made, also those that never arrived.
        billed_twice: submits that the service billed again.
        lost: billed images whose caller has no id and no report.
        problems: the differences from the table, by cell.
    """

    cells: int
    faults: int
    requests: int
    billed_twice: int
    lost: int
    problems: Mapping[str, list[str]]

    def __str__(self) -> str:
        return f"{self.faults} faults, {self.requests} requests, {self.billed_twice} billed twice, {self.lost} lost"


def run_all(cells: Iterable[Cell] = CELLS) -> Totals:
    """Play the cells, each on its own loop, and count. No other loop may be running."""
    counts: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    for cell in cells:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            seen = runner.run(play(cell))
        counts["faults"] += seen.struck
        counts["requests"] += seen.all_requests + seen.cut_off
        counts["twice"] += billed_twice(cell, seen)
        counts["lost"] += lost_images(cell, seen)
        if found := problems(cell, seen):
            wrong[str(cell)] = found
        counts["cells"] += 1
    figures = (counts[name] for name in ("cells", "faults", "requests", "twice", "lost"))
    return Totals(*figures, wrong)
