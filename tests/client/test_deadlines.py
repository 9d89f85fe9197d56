"""No call outlives its deadline, whatever the service does: exactly on a virtual clock, within 50 ms on a
real one.
"""

import asyncio
import contextlib
import socket
import time
from types import SimpleNamespace

import pytest
from helpers import fox_request, now, posts, session_at
from loops import VirtualLoop

from foxapi_async import (
    ConnectionFailedError,
    FoxError,
    FoxSession,
    GrokImagineImage,
    RateLimitError,
    RetryPolicy,
    TaskTimeoutError,
    UncertainSubmitError,
)
from foxapi_async._http.exchange import PAUSE
from foxapi_async._http.transport import READ_SECONDS
from foxapi_async.emulator import Emulator, Fault

LIFE = 7.3

# The poller's timer may fire early by as much as uvloop's timers do. No call may end late.
EARLY = 0.001
ROUNDING = 1e-9

virtual = pytest.mark.virtual


async def seconds_of(use):
    """The duration of `use` and the error that it raised."""
    began = now()
    try:
        await use
        error = None
    except FoxError as raised:
        error = raised
    return now() - began, error


def assert_in_time(seconds, limit=LIFE):
    """It ended at its limit; if a request was sent, after the short wait for its answer."""
    assert limit - EARLY <= seconds <= limit + 2 * PAUSE + ROUNDING


# The faults before there is an id.

MUTE = {
    "hangs": lambda: Fault.hang("submit", times=None),
    "is slow": lambda: Fault.slow("submit", 1000, times=None),
    "drips": lambda: Fault.drip("submit", 1000, times=None),
    "answers too late": lambda: Fault.slow("submit", LIFE + 0.1, times=None),
}


async def submit(fox):
    await fox.submit(fox_request(), timeout=LIFE)


async def generate(fox):
    await fox.generate(fox_request(), timeout=LIFE)


async def complete(fox):
    """The error of the only outcome."""
    async for outcome in fox.as_completed([fox_request()]):
        raise outcome.error


@virtual
@pytest.mark.parametrize("use", [submit, generate, complete])
@pytest.mark.parametrize("fault", MUTE.values(), ids=MUTE)
async def test_a_submit_without_an_answer_ends_with_its_time(emulator, use, fault):
    """If the service takes a submit and does not answer, it is uncertain exactly at its deadline, after one POST."""
    emulator.add_fault(fault())
    async with session_at(emulator, task_timeout=LIFE) as fox:
        seconds, error = await seconds_of(use(fox))

    assert_in_time(seconds)
    assert isinstance(error, UncertainSubmitError)
    assert 1 == len(posts(emulator))


@virtual
@pytest.mark.parametrize("grace", [0.5, 4.0])
async def test_what_was_sent_may_continue_for_its_grace_and_no_longer(emulator, grace):
    """Closing a session whose submit has timed out takes the rest of the grace, and a last check of the socket."""
    emulator.add_fault(Fault.hang("submit"))
    began = now()
    async with session_at(emulator, retry=RetryPolicy(grace=grace)) as fox:
        with contextlib.suppress(UncertainSubmitError):
            await fox.submit(fox_request(), timeout=LIFE)
        await asyncio.sleep(0.25)

    assert_in_time(now() - began, LIFE + grace + PAUSE)


@virtual
@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize("use", [submit, generate, complete])
async def test_an_answer_that_comes_byte_by_byte_renews_nothing(use, part):
    """One byte per second, of the status line or of the body, does not extend a submit beyond its deadline."""
    body = b'{"id": "task-1", "status": "pending"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    at_once, slowly = (b"", head + body) if part == "head" else (head, body)

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(at_once)
        with contextlib.suppress(OSError):
            for byte in slowly:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with FoxSession("sk-test-12345", base_url=url, task_timeout=LIFE) as fox:
        seconds, error = await seconds_of(use(fox))
    server.close()
    await asyncio.sleep(60)

    assert_in_time(seconds)
    assert isinstance(error, UncertainSubmitError)


async def never(loop, *_args, **_kwargs):
    """A system call that does not return."""
    await loop.create_future()


@virtual
@pytest.mark.parametrize("use", [submit, generate, complete])
@pytest.mark.parametrize("call", ["sock_connect", "getaddrinfo"])
@pytest.mark.parametrize("connect_timeout", [2.0, 100.0])
async def test_a_connection_that_never_opens_ends_with_the_time(
    emulator, monkeypatch, use, call, connect_timeout
):
    """A host that does not answer, or a name that is not resolved: the error says by the deadline that
    nothing was sent.
    """
    monkeypatch.setattr(VirtualLoop, call, never)
    url = emulator.url.replace("127.0.0.1", "localhost")
    retry = RetryPolicy(connect_timeout=connect_timeout, tries=1000)
    async with FoxSession(emulator.key, base_url=url, retry=retry, task_timeout=LIFE) as fox:
        seconds, error = await seconds_of(use(fox))

    assert seconds <= LIFE + ROUNDING
    assert isinstance(error, ConnectionFailedError)
    assert ("no", []) == (error.charged, emulator.requests)


@virtual
@pytest.mark.parametrize("use", ["submit", "generate", "complete"])
async def test_an_upload_that_hangs_ends_with_the_submit_it_is_for(emulator, tmp_path, use):
    """The time limit of a submit includes the upload of its files: the submit itself was not sent, and no
    POST follows.
    """
    file = tmp_path / "fox.png"
    file.write_bytes(b"\x89PNG fox")
    request = GrokImagineImage("a fox", image_urls=[file])
    emulator.add_fault(Fault.hang("upload", times=None))
    async with session_at(emulator, task_timeout=LIFE) as fox:
        uses = {
            "submit": lambda: fox.submit(request),
            "generate": lambda: fox.generate(request),
            "complete": lambda: complete(SimpleNamespace(as_completed=lambda _: fox.as_completed([request]))),
        }
        seconds, error = await seconds_of(uses[use]())
        await asyncio.sleep(200)

    assert_in_time(seconds)
    assert isinstance(error, ConnectionFailedError)
    assert ([], "no") == (posts(emulator), error.charged)


@virtual
@pytest.mark.parametrize("use", [submit, generate])
@pytest.mark.parametrize("retry_after", [None, 0, 3, 1000])
async def test_endless_refusals_end_with_the_time(emulator, use, retry_after):
    """Endless 429s end by the deadline, and earlier if the next wait would not fit."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=retry_after, times=None))
    async with session_at(emulator, retry=RetryPolicy(tries=10_000)) as fox:
        seconds, error = await seconds_of(use(fox))

    assert isinstance(error, RateLimitError)
    assert seconds <= LIFE + ROUNDING
    assert retry_after != 1000 or seconds < 0.1


@virtual
async def test_a_series_that_waits_out_a_refusal_ends_when_it_is_stopped(emulator):
    """`as_completed` waits after a 429 for up to `task_timeout`; `stop()` ends that wait at once."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=1000, times=None))
    async with session_at(emulator, task_timeout=2000) as fox:
        series = fox.as_completed([fox_request()])
        asyncio.get_running_loop().call_later(500, series.stop)
        (outcome,) = [outcome async for outcome in series]

        assert 500 == pytest.approx(now(), abs=0.01)
        assert isinstance(outcome.error, RateLimitError)


# The faults after there is an id.

DEAF = {
    "never finishes": lambda: Fault.never_finishes(times=None),
    "hangs": lambda: Fault.hang("poll", times=None),
    "is slow": lambda: Fault.slow("poll", 1000, times=None),
    "drips": lambda: Fault.drip("poll", 1000, times=None),
    "hangs up": lambda: Fault.cut_before("poll", times=None),
    "is overloaded": lambda: Fault.status("poll", 503, times=None),
    "is overloaded for long": lambda: Fault.status("poll", 503, retry_after=1000, times=None),
    "refuses": lambda: Fault.status("poll", 429, times=None),
    "refuses for long": lambda: Fault.status("poll", 429, retry_after=1000, times=None),
    "refuses for no time": lambda: Fault.status("poll", 429, retry_after=0, times=None),
    "gives pages": lambda: Fault.html("poll", times=None),
    "breaks off": lambda: Fault.short_body("poll", times=None),
    "gives no results": lambda: Fault.empty_results(times=None),
}


@virtual
@pytest.mark.parametrize("use", [generate, complete])
@pytest.mark.parametrize("fault", DEAF.values(), ids=DEAF)
async def test_a_task_that_cannot_be_seen_to_end_times_out_to_the_instant(use, fault):
    """Whatever happens to the polls, the caller gets `TaskTimeoutError`, with the id, exactly at the deadline."""
    async with Emulator(seconds=1, faults=[fault()]) as emulator:
        async with session_at(emulator, task_timeout=LIFE) as fox:
            seconds, error = await seconds_of(use(fox))
            left = now()

        assert_in_time(seconds)
        assert isinstance(error, TaskTimeoutError)
        assert [error.task_id] == list(emulator.tasks)
        assert left + 0.1 > now()  # the polls do not delay the exit either


@virtual
@pytest.mark.parametrize("fault", DEAF.values(), ids=DEAF)
async def test_attached_handles_and_waiters_end_with_their_own_time(fault):
    """`attach(timeout=)`, and each `wait(timeout)` on one handle, end exactly at their own time."""
    async with Emulator(seconds=1, faults=[fault()]) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(fox_request(), timeout=None)
        attached = fox.attach(handle.id, timeout=LIFE)
        taken = await asyncio.gather(
            seconds_of(attached.wait()), *(seconds_of(handle.wait(limit)) for limit in (0.25, 3, 40.5))
        )

        assert not handle.done()
    for (seconds, error), limit in zip(taken, (LIFE, 0.25, 3, 40.5), strict=True):
        assert_in_time(seconds, limit)
        assert isinstance(error, TaskTimeoutError)


@virtual
async def test_a_deadline_that_falls_into_a_poll_does_not_wait_for_it(emulator):
    """A handle whose last poll hangs ends in time, and so does every other handle of its task."""
    emulator.add_fault(Fault.hang("poll", times=None))
    async with session_at(emulator) as fox:
        handle = await fox.submit(fox_request(), timeout=0.5)
        others = [fox.attach(handle.id, timeout=limit) for limit in (0.1, 2.75, 30)]
        taken = await asyncio.gather(*(seconds_of(one.wait()) for one in (handle, *others)))

    for (seconds, _), limit in zip(taken, (0.5, 0.1, 2.75, 30), strict=True):
        assert_in_time(seconds, limit)


# Only one layer repeats.

ONCE = {
    "cut before": lambda on: Fault.cut_before(on, times=None),
    "cut after": lambda on: Fault.cut_after(on, times=None),
    "408": lambda on: Fault.status(on, 408, times=None),
    "429": lambda on: Fault.status(on, 429, times=None),
    "429 at once": lambda on: Fault.status(on, 429, retry_after=0, times=None),
    "500": lambda on: Fault.status(on, 500, times=None),
    "503": lambda on: Fault.status(on, 503, times=None),
    "503 at once": lambda on: Fault.status(on, 503, retry_after=0, times=None),
    "redirect": lambda on: Fault.redirect(on, "ftp://elsewhere.example/", times=None),
    "short": lambda on: Fault.short_body(on, times=None),
    "hang": lambda on: Fault.hang(on, times=None),
}
AGAIN = [name for name in ONCE if name != "redirect"]


async def tried(emulator, on, fault, tries):
    """The requests that one call of a kind made, and its error."""
    retry = RetryPolicy(tries=tries, reply_timeout=2)
    async with session_at(emulator, retry=retry, task_timeout=None) as fox:
        image = (await fox.generate(fox_request())).images[0]
        uses = {
            "submit": lambda: fox.submit(fox_request()),
            "poll": lambda: fox.fetch(image.task_id),
            "upload": lambda: fox.upload(b"GIF89a"),
            "file": image.read,
        }
        before = len(emulator.requests)
        emulator.add_fault(fault(on))
        _, error = await seconds_of(uses[on]())
        return len(emulator.requests) - before, error


@virtual
@pytest.mark.parametrize("on", ["submit", "poll", "upload", "file"])
@pytest.mark.parametrize("fault", ONCE.values(), ids=ONCE)
async def test_no_layer_below_tries_again(fault, on):
    """With `tries=1` every kind of failure happens once: the service sees only one request."""
    async with Emulator(seconds=1) as emulator:
        requests, error = await tried(emulator, on, fault, 1)

    assert 1 == requests
    assert error is not None


SENT_AGAIN = {"submit": ["429", "429 at once"], "poll": AGAIN, "upload": AGAIN, "file": AGAIN}


@virtual
@pytest.mark.parametrize(
    ("on", "fault"), [(on, fault) for on, faults in SENT_AGAIN.items() for fault in faults]
)
@pytest.mark.thorough
async def test_a_request_is_tried_as_often_as_the_policy_says(fault, on):
    """With `tries=3` a repeatable request is sent three times in all, not three times by each of several layers."""
    async with Emulator(seconds=1) as emulator:
        requests, error = await tried(emulator, on, ONCE[fault], 3)

    assert 3 == requests
    assert error is not None


@virtual
async def test_a_refused_connection_is_tried_once_at_a_time(monkeypatch):
    """With `tries=1` one connection is attempted, for a submit and for a read; with 4 there are four."""
    attempts = []
    connect = VirtualLoop.sock_connect

    async def counted(loop, sock, address):
        attempts.append(address)
        await connect(loop, sock, address)

    monkeypatch.setattr(VirtualLoop, "sock_connect", counted)
    for tries in (1, 4):
        retry = RetryPolicy(tries=tries)
        async with FoxSession("sk-test-12345", base_url="http://127.0.0.1:9", retry=retry) as fox:
            for use in (fox.submit(fox_request()), fox.fetch("task-1"), fox.upload(b"GIF89a")):
                attempts.clear()
                _, error = await seconds_of(use)
                assert isinstance(error, ConnectionFailedError)
                assert tries == len(attempts)


@virtual
@pytest.mark.parametrize("on", ["poll", "upload"])
async def test_one_hanging_exchange_is_bounded_without_any_deadline(emulator, on):
    """A call without a deadline ends a hanging exchange after the exchange's own limit, and says so after the
    last try.
    """
    emulator.add_fault(Fault.hang(on, times=None))
    async with session_at(emulator, retry=RetryPolicy(tries=1, reply_timeout=20)) as fox:
        handle = await fox.submit(fox_request())
        use = fox.fetch(handle.id) if on == "poll" else fox.upload(b"GIF89a")
        seconds, error = await seconds_of(use)

    assert_in_time(seconds, READ_SECONDS if on == "poll" else 20 + PAUSE)
    assert isinstance(error, ConnectionFailedError)


# On a real clock. The limit is part of the promise, but the delay of a busy machine is not: the best of three counts.

BOUND = 0.05
SHORT = 0.25


async def least_overshoot(use):
    """The least time by which `use` ends too late. A busy machine delays some tries, and not ten."""
    late = []
    while len(late) < 10 and min(late, default=BOUND) >= BOUND:
        began = time.monotonic()
        with pytest.raises(FoxError):
            await use()
        late.append(time.monotonic() - began - SHORT)
    return min(late)


REAL = {
    "good weather": Fault.never_finishes,
    "a submit that hangs": lambda: Fault.hang("submit", times=None),
    "a submit that drips": lambda: Fault.drip("submit", 60, times=None),
    "polls that hang": lambda: Fault.hang("poll", times=None),
    "polls that drip": lambda: Fault.drip("poll", 60, times=None),
    "endless 503": lambda: Fault.status("poll", 503, times=None),
    "endless 429": lambda: Fault.status("poll", 429, times=None),
    "endless refusals": lambda: Fault.status("submit", 429, times=None),
}


@pytest.mark.parametrize("fault", REAL.values(), ids=REAL)
async def test_a_deadline_is_overshot_by_less_than_50_ms(fault):
    """`generate(timeout=)` ends within 50 ms of it on a real clock, with and without faults."""
    patient = RetryPolicy(tries=10_000, grace=0.01)
    async with Emulator(seconds=60, faults=[fault()]) as emulator, session_at(emulator, retry=patient) as fox:
        late = await least_overshoot(lambda: fox.generate(fox_request(), timeout=SHORT))

    assert late < BOUND
    # A refused submit ends as soon as no further try fits.
    assert late >= -0.002 or fault is REAL["endless refusals"]


async def test_a_port_that_does_not_answer_is_not_waited_for():
    """A host that drops every packet, like a full queue of connections, ends a submit within 50 ms of its time."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with contextlib.ExitStack() as queue:
            for _ in range(4):
                waiting = queue.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(deaf.getsockname())
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            async with FoxSession("sk-test-12345", base_url=url) as fox:
                late = await least_overshoot(lambda: fox.submit(fox_request(), timeout=SHORT))

    assert late < BOUND
