"""A simulated service in place of aiohttp's session (`FoxSession(http=...)`): no socket, the loop's own time.

Everything of the package above aiohttp is real: transport, retry, poller, session. A submit that is handed
over is accepted, and billed, in the same instant, so a caller can never go away too early. A fault happens to
a share of all requests; the tables below say which.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiohttp
import attrs
from multidict import CIMultiDict

KEY = "sk-soak-12345"
URL = "http://127.0.0.1:1"
UNIX = 1_757_165_031
ESTIMATE = 15.0
LATENCY = (0.005, 0.08)
# An ended task is answered for this long; later polls get a 404.
KEPT_SECONDS = 3600.0

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(4096)
PAGE = b"<!DOCTYPE html><html><body>One moment</body></html>"
HUGE = b'{"id": "' + b"x" * (1024 * 1024) + b'"}'


class Bill(NamedTuple):
    """One accepted submit: the number in its prompt, its id and its key."""

    number: int
    task_id: str
    key: str


@attrs.frozen(kw_only=True)
class Trouble:
    """One kind of fault.

    Attributes:
        name: its name in the counts.
        weight: how often, relative to the others of its kind.
        accepted: whether a submit is still accepted, and billed.
        unsent: no connection opens.
        cut: the connection closes without an answer.
        hang: no more bytes come.
        broken: the body breaks off.
        status: of the reply; with `body` or the error envelope.
        retry_after: its header, in seconds.
    """

    name: str
    weight: float = 1.0
    accepted: bool = False
    unsent: bool = False
    cut: bool = False
    hang: bool = False
    broken: bool = False
    status: int = 200
    body: bytes | None = None
    retry_after: float | None = None


def _statuses(*statuses: int, weight: float = 1.0, accepted: bool = False) -> list[Trouble]:
    after = " after accepting" if accepted else ""
    return [Trouble(name=f"{s}{after}", status=s, weight=weight, accepted=accepted) for s in statuses]


_GARBAGE = [
    ("truncated JSON", b'{"id": "task-unified-17'),
    ("a page", PAGE),
    ("no object", b"[]"),
    ("no id", b'{"status": "pending"}'),
    ("wrong types", b'{"id": {}, "status": 7}'),
    ("nothing", b""),
    ("a huge body", HUGE),
]

SUBMITS = [
    Trouble(name="refused connection", unsent=True, weight=3),
    Trouble(name="cut before accepting", cut=True, weight=2),
    Trouble(name="cut after accepting", cut=True, accepted=True, weight=2),
    Trouble(name="hang before accepting", hang=True),
    Trouble(name="hang after accepting", hang=True, accepted=True),
    Trouble(name="broken body", broken=True, accepted=True),
    Trouble(name="429 with Retry-After", status=429, retry_after=3.0, weight=2),
    *_statuses(400, 403, 404, 409, 413, 422, 429),
    *_statuses(401, 402, weight=0.1),
    *_statuses(408, 500, 502, 503, 504, weight=0.5),
    *_statuses(408, 500, 502, 503, 504, weight=0.5, accepted=True),
    *(Trouble(name=name, body=body, accepted=True, weight=0.3) for name, body in _GARBAGE),
]
POLLS = [
    Trouble(name="refused connection", unsent=True, weight=2),
    Trouble(name="cut", cut=True, weight=3),
    Trouble(name="hang", hang=True, weight=0.5),
    Trouble(name="broken body", broken=True),
    Trouble(name="429 with Retry-After", status=429, retry_after=2.0),
    *_statuses(408, 500, 502, 503, 504),
    *_statuses(401, 403, 404, weight=0.1),
    *(Trouble(name=name, body=body, weight=0.3) for name, body in _GARBAGE),
]
FILES = [
    Trouble(name="cut", cut=True),
    Trouble(name="broken body", broken=True, weight=3),
    Trouble(name="a page", body=PAGE, weight=0.5),
    *_statuses(403, 404, 500, 503, weight=0.5),
]
KINDS = {"submit": SUBMITS, "poll": POLLS, "file": FILES}


@attrs.define
class Remote:
    """A task of the service; moments are loop time."""

    number: int
    created: float
    seconds: float
    ending: str
    empties: int


class Content:
    """The body of a reply, in pieces."""

    def __init__(self, body: bytes, *, broken: bool) -> None:
        half = len(body) // 2
        self._pieces = deque([body[:half], body[half:]] if broken else [body])
        self._broken = broken

    def at_eof(self) -> bool:
        return not self._pieces

    async def readany(self) -> bytes:
        if self._broken and len(self._pieces) == 1:
            raise aiohttp.ClientPayloadError("the body broke off")
        return self._pieces.popleft() if self._pieces else b""


class Response:
    """The parts of aiohttp's response that are used."""

    closed = False

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, broken: bool = False) -> None:
        self.status = status
        self.headers = CIMultiDict(headers)
        self.content = Content(body, broken=broken)

    def close(self) -> None:
        self.closed = True


class Written:
    """Takes the body of a request, in place of aiohttp's writer."""

    transport = SimpleNamespace(is_closing=lambda: False)

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


class Service:
    """The service, as an argument of `FoxSession(http=...)`.

    Args:
        faults: the share of all requests with a fault.
        seed: decides the faults, the durations and the ends.

    Attributes:
        requests: how many came, by kind.
        troubles: how many of them had a fault, by kind and name.
    """

    closed = False

    def __init__(self, faults: float = 0.05, seed: int = 0) -> None:
        self.requests: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self._faults = faults
        self._chance = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[str, Remote] = {}
        self._old: deque[str] = deque()
        self._billed = array("i")  # compact, because a run measures its memory
        self._keys: dict[str, str] = {}

    @property
    def bills(self) -> Iterator[Bill]:
        """Every accepted submit, in the order of acceptance."""
        for count, number in enumerate(self._billed):
            task_id = _id(count)
            yield Bill(number, task_id, self._keys.get(task_id, ""))

    async def request(
        self, method: str, url: Any, *, headers: Mapping[str, str], data: Any = None, **_: Any
    ) -> Response:
        """A call to the API."""
        kind = "submit" if method == "POST" else "poll"
        trouble = self._strike(kind)
        await self._travel()
        if trouble is not None and trouble.unsent:
            where = SimpleNamespace(host="127.0.0.1", port=1, ssl=True)
            raise aiohttp.ClientConnectorError(where, OSError(111, "Connection refused"))
        if kind == "submit":
            written = Written()
            await data.write_with_length(written, None)
            reply = self._submit(written.data, headers["Idempotency-Key"], trouble)
        else:
            reply = self._poll(str(url).rpartition("/")[2])
        await self._travel()
        return await self._answer(trouble, reply)

    async def get(self, url: Any, *, headers: Mapping[str, str], **_: Any) -> Response:
        """A result file."""
        trouble = self._strike("file")
        await self._travel()
        start = int(headers.get("Range", "bytes=0-")[6:-1])
        about = {"Content-Type": "image/png", "ETag": '"fox"'}
        if start:
            about["Content-Range"] = f"bytes {start}-{len(IMAGE) - 1}/{len(IMAGE)}"
        if trouble is None or (trouble.broken and trouble.status == 200):
            broken = trouble is not None
            return Response(206 if start else 200, about, IMAGE[start:], broken=broken)
        return await self._answer(trouble, {})

    def _strike(self, kind: str) -> Trouble | None:
        self.requests[kind] += 1
        if self._chance.random() >= self._faults:
            return None
        troubles = KINDS[kind]
        (trouble,) = self._chance.choices(troubles, [each.weight for each in troubles])
        self.troubles[f"{kind}: {trouble.name}"] += 1
        return trouble

    async def _travel(self) -> None:
        await asyncio.sleep(self._chance.uniform(*LATENCY))

    def _submit(self, body: bytes, key: str, trouble: Trouble | None) -> dict[str, Any] | None:
        if trouble is not None and not trouble.accepted:
            return None
        number = number_in(json.loads(body)["prompt"])
        task_id = _id(len(self._billed))
        self._billed.append(number)
        if trouble is not None:
            self._keys[task_id] = key
        draw = self._chance.random()
        endless = draw < 0.005
        self._tasks[task_id] = Remote(
            number=number,
            created=self._loop.time(),
            seconds=math.inf if endless else self._chance.lognormvariate(math.log(ESTIMATE), 0.4),
            ending="failed" if draw < 0.035 else "cancelled" if draw < 0.04 else "completed",
            empties=self._chance.randint(1, 3) if 0.04 <= draw < 0.06 else 0,
        )
        self._forget_old()
        self._old.append(task_id)
        # A caller may go away before the answer comes: then it can only know the key.
        return self._task(task_id, status="pending", task_info={"estimated_time": ESTIMATE})

    def _forget_old(self) -> None:
        before = self._loop.time() - KEPT_SECONDS
        while self._old and self._tasks[self._old[0]].created < before:
            del self._tasks[self._old.popleft()]

    def _poll(self, task_id: str) -> dict[str, Any] | None:
        remote = self._tasks.get(task_id)
        if remote is None:
            return None
        age = self._loop.time() - remote.created
        if age < remote.seconds:
            percent = 0 if math.isinf(remote.seconds) else int(100 * age / remote.seconds)
            return self._task(task_id, status="processing", progress=percent)
        if remote.ending == "failed":
            error = {"code": "content_policy_violation", "message": "refused"}
            return self._task(task_id, status="failed", error=error)
        if remote.ending == "cancelled" or remote.empties <= 0:
            results = [{"url": f"{URL}/files/{task_id}.png"}] if remote.ending == "completed" else None
            return self._task(task_id, status=remote.ending, progress=100, results=results)
        remote.empties -= 1
        return self._task(task_id, status="completed", progress=50, results=None)

    def _task(self, task_id: str, **fields: Any) -> dict[str, Any]:
        created = int(UNIX + self._tasks[task_id].created)
        return {"id": task_id, "model": "grok-imagine-image", "progress": 0, "created": created, **fields}

    async def _answer(self, trouble: Trouble | None, reply: dict[str, Any] | None) -> Response:
        if trouble is not None and trouble.hang:
            await self._loop.create_future()
        if trouble is not None and trouble.cut:
            raise aiohttp.ServerDisconnectedError
        headers = {"Date": _date(self._loop.time())}
        if trouble is not None and trouble.retry_after is not None:
            headers["Retry-After"] = f"{trouble.retry_after:g}"
        if trouble is not None and trouble.body is not None:
            return Response(200, headers, trouble.body)
        status = trouble.status if trouble is not None else 200
        if status == 200 and reply is None:
            status = 404
        if status != 200:
            reply = {"error": {"message": "scripted", "type": "api_error"}}
        broken = trouble is not None and trouble.broken
        return Response(status, headers, json.dumps(reply).encode(), broken=broken)


def _id(count: int) -> str:
    return f"task-unified-{UNIX}-{count:08d}"


def _date(now: float) -> str:
    return formatdate(UNIX + now, usegmt=True)


def number_in(prompt: str) -> int:
    """The number of a submit; see `soak_callers`."""
    return int(prompt.rpartition(" ")[2])
