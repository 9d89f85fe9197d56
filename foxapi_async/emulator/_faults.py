"""The fault script: what goes wrong, on which request, and how often.

A `Fault` is data. The script hands out at most one per request, in the order written. `on` names the
occasion: the four kinds of request (submit, poll, upload, file), and two that are not requests of their
own: "task" is an accepted submit, whose fate is decided there, and "result" is a poll that finds its
task completed.
"""

import random
from typing import Literal, Self, TypedDict, Unpack, get_args

import attrs

On = Literal["submit", "poll", "upload", "file", "task", "result"]
Request = Literal["submit", "poll", "upload", "file"]
Kind = Literal[
    "status",
    "redirect",
    "cut",
    "stale",
    "slow",
    "hang",
    "garbage",
    "short",
    "huge",
    "bomb",
    "drip",
    "never",
    "fail",
    "empty",
]

_HTML = (
    b"<!DOCTYPE html><html><head><title>One moment</title></head><body>Checking your browser.</body></html>"
)


class Aim(TypedDict, total=False):
    """Which requests a fault strikes."""

    after: int
    model: str
    prompt: str


class Scope(Aim, total=False):
    """The keywords every constructor takes: which requests a fault strikes, and how often."""

    times: int | None
    probability: float


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong; build it with the class methods, which name each case.

    Raises:
        ValueError: A field has a value that no request could ever match.
    """

    on: On
    "The occasion on which it fires."
    kind: Kind
    "What happens then."
    times: int | None = 1
    "How often it fires; None means for ever."
    after: int = 0
    "How many matching requests pass unharmed first."
    probability: float = 1.0
    "The chance, from 0 to 1, that a matching request is hit; drawn from the emulator's seed."
    model: str = ""
    "Fires only on tasks whose model contains this text."
    prompt: str = ""
    "Fires only on tasks whose prompt contains this text."
    accepted: bool = True
    "Whether a submit is accepted, and billed, before the fault strikes."
    http_status: int = 200
    "The status of the reply."
    retry_after: float | str | None = None
    "The `Retry-After` header: seconds, or a text sent as it is, such as an HTTP date."
    seconds: float = 0.0
    "How long a slow reply takes."
    body: bytes | None = None
    "The reply's body, instead of the error envelope or the reply proper."
    content_type: str = "application/json"
    "The type of `body`."
    code: str | None = None
    "The `error.code` of the envelope or of the failed task."
    message: str = "scripted by the emulator"
    "The `error.message` of the envelope or of the failed task."
    location: str = ""
    "Where a redirection points."
    size: int = 0
    "How many bytes follow the proper body where it is too large."

    def __attrs_post_init__(self) -> None:
        if self.on not in get_args(On) or self.kind not in get_args(Kind):
            raise ValueError(f"no such fault: {self.kind!r} on {self.on!r}; see the constructors of Fault")
        if (self.times is not None and self.times < 1) or self.after < 0:
            raise ValueError(f"times={self.times} must be at least 1 or None, after={self.after} at least 0")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability={self.probability} must lie between 0 and 1")

    @classmethod
    def status(
        cls,
        on: Request,
        status: int,
        *,
        retry_after: float | str | None = None,
        code: str | None = None,
        message: str = "scripted by the emulator",
        body: bytes | None = None,
        content_type: str = "application/json",
        accepted: bool = False,
        **scope: Unpack[Scope],
    ) -> Self:
        """Answer with an HTTP status and the error envelope, or with `body` in its place.

        Args:
            on: The kind of request.
            status: The HTTP status.
            retry_after: Seconds, or a header text such as an HTTP date.
            code: The envelope's `error.code`.
            message: The envelope's `error.message`.
            body: Bytes sent instead of the envelope, for example an edge's own page.
            content_type: The type of `body`.
            accepted: True bills a submit before refusing it: the case nobody can tell from the outside.
            **scope: `times`, `after`, `probability`, `model`, `prompt`.
        """
        return cls(
            on=on,
            kind="status",
            http_status=status,
            retry_after=retry_after,
            code=code,
            message=message,
            body=body,
            content_type=content_type,
            accepted=accepted,
            **scope,
        )

    @classmethod
    def rate(
        cls,
        on: Request,
        probability: float,
        *,
        status: int = 503,
        times: int | None = None,
        **aim: Unpack[Aim],
    ) -> Self:
        """Refuse a share of the requests, from 0 to 1, with a status; for ever unless `times` is given."""
        return cls.status(on, status, probability=probability, times=times, **aim)

    @classmethod
    def not_found(cls, on: Request = "poll", times: int | None = 1, **aim: Unpack[Aim]) -> Self:
        """Answer 404 for something that exists: a read that overtook the write."""
        return cls.status(on, 404, message="task not found", times=times, **aim)

    @classmethod
    def redirect(cls, on: Request, location: str, *, status: int = 307, **scope: Unpack[Scope]) -> Self:
        """Point elsewhere; a submit is not accepted."""
        return cls(on=on, kind="redirect", http_status=status, location=location, accepted=False, **scope)

    @classmethod
    def cut_before(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Close the connection before anything is accepted; nothing is billed."""
        return cls(on=on, kind="cut", accepted=False, **scope)

    @classmethod
    def cut_after(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Accept and bill, then close the connection without an answer."""
        return cls(on=on, kind="cut", **scope)

    @classmethod
    def stale(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Answer and keep the connection, then close it as the next request on it arrives.

        That next request, of whatever kind, gets no answer and is not accepted: what a client sees when it
        sends over a kept connection in the moment in which the server gives it up.
        """
        return cls(on=on, kind="stale", **scope)

    @classmethod
    def slow(cls, on: Request, seconds: float, **scope: Unpack[Scope]) -> Self:
        """Do the work at once and answer only after so many seconds."""
        return cls(on=on, kind="slow", seconds=seconds, **scope)

    @classmethod
    def hang(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Do the work and never answer; the connection stays open until somebody closes it."""
        return cls(on=on, kind="hang", **scope)

    @classmethod
    def garbage(
        cls,
        on: Request,
        *,
        body: bytes = b'{"id": "task-unified-17',
        content_type: str = "application/json",
        status: int = 200,
        **scope: Unpack[Scope],
    ) -> Self:
        """Do the work and answer something unreadable, by default JSON that breaks off."""
        return cls(on=on, kind="garbage", body=body, content_type=content_type, http_status=status, **scope)

    @classmethod
    def html(cls, on: Request, *, status: int = 200, **scope: Unpack[Scope]) -> Self:
        """Do the work and answer with a page of the kind that proxies put in the way."""
        return cls.garbage(on, body=_HTML, content_type="text/html", status=status, **scope)

    @classmethod
    def short_body(cls, on: Request = "file", **scope: Unpack[Scope]) -> Self:
        """Announce the whole length, send half of it and close."""
        return cls(on=on, kind="short", **scope)

    @classmethod
    def huge(cls, on: Request, *, size: int = 2 * 1024 * 1024, **scope: Unpack[Scope]) -> Self:
        """Do the work and answer with a body that is too large: the proper one, and `size` spaces behind it.

        It is good JSON to whoever reads it all.
        """
        return cls(on=on, kind="huge", size=size, **scope)

    @classmethod
    def bomb(cls, on: Request, *, size: int = 64 * 1024 * 1024, **scope: Unpack[Scope]) -> Self:
        """As `huge`, compressed with gzip whether asked for or not: a thousandth of `size` on the wire."""
        return cls(on=on, kind="bomb", size=size, **scope)

    @classmethod
    def drip(cls, on: Request, seconds: float, **scope: Unpack[Scope]) -> Self:
        """Send the body in twenty pieces spread evenly over so many seconds."""
        return cls(on=on, kind="drip", seconds=seconds, **scope)

    @classmethod
    def never_finishes(cls, **scope: Unpack[Scope]) -> Self:
        """Accept a task that stays `processing` for ever."""
        return cls(on="task", kind="never", **scope)

    @classmethod
    def fails(
        cls,
        code: str = "generation_failed",
        message: str = "The request was refused by the content policy.",
        **scope: Unpack[Scope],
    ) -> Self:
        """Accept a task that ends as `failed` with this code and message."""
        return cls(on="task", kind="fail", code=code, message=message, **scope)

    @classmethod
    def empty_results(cls, times: int | None = 1, **aim: Unpack[Aim]) -> Self:
        """Answer so many polls of completed tasks with `results: null`, as the service was seen to do."""
        return cls(on="result", kind="empty", times=times, **aim)


@attrs.define
class _Line:
    """One fault of the script and how far it has come."""

    fault: Fault
    seen: int = 0
    fired: int = 0

    def matches(self, on: On, model: str | None, prompt: str | None) -> bool:
        """Whether the request is of the kind this fault was written for."""
        fault = self.fault
        return fault.on == on and fault.model in (model or "") and fault.prompt in (prompt or "")

    def due(self, chance: random.Random) -> bool:
        """Whether the matching request just counted is one that this fault strikes."""
        fault = self.fault
        if self.seen <= fault.after or (fault.times is not None and self.fired >= fault.times):
            return False
        return fault.probability >= 1 or chance.random() < fault.probability


class Script:
    """The faults in the order written; hands out at most one per request."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._lines = [_Line(fault) for fault in faults]
        # Reproducible chance for tests, nothing secret.
        self._chance = random.Random(f"faults {seed}")  # noqa: S311
        self.fired = 0

    def add(self, fault: Fault) -> None:
        """Append a fault; one append is atomic, so other threads may do it while the server runs."""
        self._lines.append(_Line(fault))

    def take(self, on: On, model: str | None = None, prompt: str | None = None) -> Fault | None:
        """The fault that strikes this request, if any.

        Every matching line counts the request, so `after` means the same whatever stands before it.
        """
        matching = [line for line in self._lines if line.matches(on, model, prompt)]
        for line in matching:
            line.seen += 1
        struck = next((line for line in matching if line.due(self._chance)), None)
        if struck is None:
            return None
        struck.fired += 1
        self.fired += 1
        return struck.fault
