"""The fault script: what goes wrong, on which request, and how often.

A `Fault` is data. The script gives each request at most one, in the order in which they were given. `on` names the
occasion: a kind of request (submit, poll, upload, file, other, or all of them), or one of two others. "task" is an
accepted submit, and the fault decides how its task ends. "result" is a poll that finds its task completed.

Most faults are the service's own. An edge fault is the answer of something in front of the service. It comes
before the key, the address and the task are checked.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypedDict, Unpack

import attrs

from ._occasions import Kind, On, Request, problem_of
from ._pages import CHALLENGE, page


class Aim(TypedDict, total=False):
    """Which requests a fault applies to."""

    after: int
    model: str
    prompt: str


class Scope(Aim, total=False):
    """The keywords of every constructor: which requests a fault applies to, and how often."""

    times: int | None
    probability: float


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong. Build it with the class methods, which name each case.

    Raises:
        ValueError: A field has a value that is not allowed.
    """

    on: On
    "The occasion on which it fires."
    kind: Kind
    "The effect of the fault."
    times: int | None = 1
    "How often it fires; None means forever."
    after: int = 0
    "How many matching requests pass without the fault first."
    probability: float = 1.0
    "The chance, from 0 to 1, that a matching request gets it; drawn from the emulator's seed."
    model: str = ""
    "Fires only on tasks whose model contains this text."
    prompt: str = ""
    "Fires only on tasks whose prompt contains this text."
    accepted: bool = True
    "Whether a submit is accepted and billed before the fault applies."
    http_status: int = 200
    "The status of the reply."
    retry_after: float | str | None = None
    "The `Retry-After` header: seconds, or a text that is sent unchanged, such as an HTTP date."
    seconds: float = 0.0
    "How long a slow reply takes; with `trickle`, the time before each piece."
    body: bytes | None = None
    "The reply's body, instead of the error envelope or the normal reply."
    content_type: str = "application/json"
    "The type of `body`."
    code: str | None = None
    "The `error.code` of the envelope or of the failed task."
    message: str = "scripted by the emulator"
    "The `error.message` of the envelope or of the failed task."
    location: str = ""
    "The target of a redirect."
    size: int = 0
    "How many bytes follow the normal body to make it too large; with `trickle`, the bytes of one piece."
    in_front: bool = False
    "Whether something in front of the service answers."
    since: float = 0.0
    "The first second in which it may fire, on the loop's clock from the emulator's start."
    until: float = math.inf
    "It does not fire from this second on."
    error_type: str | None = None
    "The `error.type` of the envelope; None gives the one that belongs to the status."
    put: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    "The fields that are put into the normal reply."
    drop: tuple[str, ...] = ()
    "The fields that are taken out of the normal reply."
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    "The headers that are added to the reply."

    def __attrs_post_init__(self) -> None:
        if problem := problem_of(self.on, self.kind):
            raise ValueError(problem)
        if (self.times is not None and self.times < 1) or self.after < 0:
            raise ValueError(f"times={self.times} must be at least 1 or None, after={self.after} at least 0")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability={self.probability} must lie between 0 and 1")
        if not 0 <= self.since < self.until:
            raise ValueError(f"since={self.since} must lie between 0 and until={self.until}")

    def during(self, since: float, until: float) -> Self:
        """The same fault as an outage: every matching request in this span of seconds gets it.

        The seconds count from the emulator's start, on the loop's clock.
        """
        return attrs.evolve(self, times=None, since=since, until=until)

    @classmethod
    def status(
        cls,
        on: Request,
        status: int,
        *,
        retry_after: float | str | None = None,
        code: str | None = None,
        message: str = "scripted by the emulator",
        error_type: str | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accepted: bool = False,
        **scope: Unpack[Scope],
    ) -> Self:
        """Answer with an HTTP status and the error envelope, or with `body` in its place.

        The arguments have the meaning of the attributes. `accepted=True` bills a submit, and then refuses it. The
        client cannot see the bill.
        """
        return cls(
            on=on,
            kind="status",
            http_status=status,
            retry_after=retry_after,
            code=code,
            message=message,
            error_type=error_type,
            body=body,
            content_type=content_type,
            accepted=accepted,
            **scope,
        )

    @classmethod
    def edge(
        cls,
        on: Request,
        status: int = 503,
        *,
        body: bytes | None = None,
        content_type: str = "text/html",
        location: str = "",
        retry_after: float | str | None = None,
        accepted: bool = False,
        **scope: Unpack[Scope],
    ) -> Self:
        """Answer with a page of something in front of the service, for any key, address and task.

        `body` is the page. None gives the usual page for the status, which may also be 200: `404 page not found` of an
        ingress, a challenge for 403, a notice of maintenance for 503. With `accepted=True`, the service does the work
        and bills it, and the page replaces its answer. The service's own faults do not apply then.
        """
        usual, usual_type = page(status)
        return cls(
            on=on,
            kind="status",
            in_front=True,
            http_status=status,
            body=usual if body is None else body,
            content_type=usual_type if body is None else content_type,
            location=location,
            retry_after=retry_after,
            accepted=accepted,
            **scope,
        )

    @classmethod
    def quota(
        cls,
        on: Request = "submit",
        status: int = 429,
        *,
        code: str = "insufficient_quota",
        retry_after: float | str | None = None,
        **scope: Unpack[Scope],
    ) -> Self:
        """Refuse because the account has no quota left, with a status other than 402."""
        error_type = code if code == "insufficient_quota" else "new_api_error"
        return cls.status(
            on,
            status,
            code=code,
            error_type=error_type,
            message="quota is used up",
            retry_after=retry_after,
            **scope,
        )

    @classmethod
    def invalid_url(cls, on: Request = "poll", **scope: Unpack[Scope]) -> Self:
        """Answer as the service does for an unknown address: 404 with its own JSON."""
        return cls.status(on, 404, message="Invalid URL", error_type="invalid_request_error", **scope)

    @classmethod
    def rate(
        cls,
        on: Request,
        probability: float,
        *,
        status: int = 503,
        times: int | None = None,
        accepted: bool = False,
        **aim: Unpack[Aim],
    ) -> Self:
        """Refuse a share of the requests, from 0 to 1, with a status; forever unless `times` is given.

        `accepted=True` bills the submits that it refuses.
        """
        return cls.status(on, status, probability=probability, times=times, accepted=accepted, **aim)

    @classmethod
    def not_found(cls, on: Request = "poll", times: int | None = 1, **aim: Unpack[Aim]) -> Self:
        """Answer 404 for a task that exists, as if the service could not see the new task yet."""
        return cls.status(on, 404, message="task not found", times=times, **aim)

    @classmethod
    def redirect(cls, on: Request, location: str, *, status: int = 307, **scope: Unpack[Scope]) -> Self:
        """Redirect to another address. A submit is not accepted."""
        return cls(on=on, kind="redirect", http_status=status, location=location, accepted=False, **scope)

    @classmethod
    def cut_before(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Close the connection before anything is accepted; nothing is billed."""
        return cls(on=on, kind="cut", accepted=False, **scope)

    @classmethod
    def cut_after(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Accept and bill the request, then close the connection without an answer."""
        return cls(on=on, kind="cut", **scope)

    @classmethod
    def stale(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Answer and keep the connection, then close it when the next request on it arrives.

        That next request, of any kind, gets no answer and is not accepted. This happens to a client that sends on a
        kept connection while the server closes it.
        """
        return cls(on=on, kind="stale", **scope)

    @classmethod
    def slow(cls, on: Request, seconds: float, **scope: Unpack[Scope]) -> Self:
        """Do the work at once, and answer only after this many seconds."""
        return cls(on=on, kind="slow", seconds=seconds, **scope)

    @classmethod
    def hang(cls, on: Request, **scope: Unpack[Scope]) -> Self:
        """Do the work and never answer. The connection stays open until the client or the emulator closes it."""
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
        """Do the work and answer with an unreadable body, by default JSON that is cut off."""
        return cls(on=on, kind="garbage", body=body, content_type=content_type, http_status=status, **scope)

    @classmethod
    def html(cls, on: Request, *, status: int = 200, **scope: Unpack[Scope]) -> Self:
        """Do the work and answer with an HTML page, as some proxies do."""
        return cls.garbage(on, body=CHALLENGE, content_type="text/html", status=status, **scope)

    @classmethod
    def altered(
        cls,
        on: Request,
        put: Mapping[str, Any],
        *,
        drop: Iterable[str] = (),
        status: int = 200,
        **scope: Unpack[Scope],
    ) -> Self:
        """Do the work, and answer with the normal JSON with the fields in `put` set and those in `drop` left out.

        `{id}` in a text stands for the reply's `id`. NaN and lone surrogates are written as Python's `json` writes
        them. `bytes` go between the quotes unchanged.
        """
        return cls(on=on, kind="altered", put=put, drop=tuple(drop), http_status=status, **scope)

    @classmethod
    def with_headers(cls, on: Request, headers: Mapping[str, str], **scope: Unpack[Scope]) -> Self:
        """Answer normally, with additional headers."""
        return cls(on=on, kind="headers", headers=headers, **scope)

    @classmethod
    def short_body(cls, on: Request = "file", **scope: Unpack[Scope]) -> Self:
        """Announce the whole length, send half of it and close."""
        return cls(on=on, kind="short", **scope)

    @classmethod
    def huge(cls, on: Request, *, size: int = 2 * 1024 * 1024, **scope: Unpack[Scope]) -> Self:
        """Do the work and answer with a large body: the normal one, followed by `size` spaces.

        As a whole it is valid JSON. The client reads at most 32 MiB of a reply.
        """
        return cls(on=on, kind="huge", size=size, **scope)

    @classmethod
    def bomb(cls, on: Request, *, size: int = 64 * 1024 * 1024, **scope: Unpack[Scope]) -> Self:
        """The same as `huge`, always compressed with gzip: a thousandth of `size` on the wire."""
        return cls(on=on, kind="bomb", size=size, **scope)

    @classmethod
    def drip(cls, on: Request, seconds: float, **scope: Unpack[Scope]) -> Self:
        """Send the body in twenty pieces, evenly over this many seconds."""
        return cls(on=on, kind="drip", seconds=seconds, **scope)

    @classmethod
    def trickle(
        cls, on: Request = "file", every: float = 5.0, *, size: int = 1, **scope: Unpack[Scope]
    ) -> Self:
        """Send the body in pieces of `size` bytes, by default one, with `every` seconds before each.

        The connection stays alive, and at this pace a file takes days.
        """
        if size < 1:
            raise ValueError(f"size={size} must be at least 1 byte")
        return cls(on=on, kind="drip", seconds=every, size=size, **scope)

    @classmethod
    def freeze(cls, on: Request = "all", **scope: Unpack[Scope]) -> Self:
        """Take requests and do nothing with them until the end of the outage; then answer them as usual.

        A stopped process behaves so: `Fault.freeze().during(10, 25)`, or `outage(15, Fault.freeze())`. Nothing is
        billed for a client that leaves before the end. Without an end, the request gets no answer.
        """
        return cls(on=on, kind="freeze", in_front=True, accepted=False, **scope)

    @classmethod
    def never_finishes(cls, **scope: Unpack[Scope]) -> Self:
        """Accept a task that stays `processing` forever."""
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
        """Answer this many polls of completed tasks with `results: null`. The service has done this."""
        # Observed at the real service: completed, no results, and a percentage from the middle.
        return cls.completes_with({"results": None, "progress": 50}, times=times, **aim)

    @classmethod
    def completes_with(
        cls,
        put: Mapping[str, Any],
        *,
        drop: Iterable[str] = (),
        times: int | None = None,
        **aim: Unpack[Aim],
    ) -> Self:
        """Answer polls of completed tasks with other fields than the normal ones. They may be any JSON.

            Fault.completes_with({"results": [{"url": "data:image/png;base64,…"}]})  # or {"b64_json": …}
            Fault.completes_with({"results": [{"url": "{path}"}]})   # an address without the host
            Fault.completes_with({"results": [{"url": "{url}"}]})    # one image, even if more were requested
            Fault.completes_with({"results": [{"ok": True}]})        # nothing that can be read

        In a text of `put`, `{id}` stands for the task's id, `{url}` for the address of its first file, and `{path}` for
        the path in this address. The fields in `drop` are left out. `times` is the number of polls; None means all.
        """
        return cls(on="result", kind="altered", put=put, drop=tuple(drop), times=times, **aim)

    def apply_to(self, reply: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        """The reply with the fields of `put`, in which `names` are filled in, and without the fields of `drop`."""
        kept = {name: value for name, value in reply.items() if name not in self.drop}
        return {**kept, **_filled(dict(self.put), names)}


def _filled(value: Mapping[str, Any] | list[Any] | str | float | None, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, Mapping):
        return {name: _filled(item, names) for name, item in value.items()}
    return [_filled(item, names) for item in value] if isinstance(value, list) else value
