"""What a submit reports about money if its connection is cut, stalled or abused at any stage: real sockets,
real loops.

The service here is a plain TCP server that records every received byte. So each claim is checked against the
bytes that did arrive, not against an exception.
"""

import asyncio
import itertools
import json
import logging
import random
import re
import socket
import struct

import pytest

from foxapi_async import (
    APIError,
    ConnectionFailedError,
    FoxError,
    FoxSession,
    RawRequest,
    RetryPolicy,
    UncertainSubmitError,
)
from foxapi_async._retry import retry

# Small enough for one segment, and larger than both socket buffers: then the hand-over is partial.
BODIES = {"small": 100, "large": 12_000_000}

HURRIED = RetryPolicy(tries=3, connect_timeout=5, reply_timeout=0.15, grace=0.1)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """Almost no wait between two tries: time is not tested here."""
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.002)


def reply(status, body, *, framing="length"):
    """A whole answer, as bytes."""
    head = f"HTTP/1.1 {status} Words\r\nContent-Type: application/json\r\n"
    if framing == "chunked":
        framed = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    else:
        framed = f"{head}Content-Length: {len(body)}\r\n\r\n{body}"
    return framed.encode()


def half_of_body(answer):
    """The answer up to the middle of its body."""
    head = answer.index(b"\r\n\r\n") + 4
    return answer[: (head + len(answer)) // 2]


def accepted(task_id="task-1"):
    return reply(200, json.dumps({"id": task_id, "status": "pending", "model": "fox", "created": 1}))


class Line(asyncio.Protocol):
    """One connection: records what arrives, and acts at the stage that its host names."""

    def __init__(self, host):
        self.host = host
        self.received = bytearray()
        self.acted = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.act_if_due()

    def data_received(self, data):
        self.received += data
        self.act_if_due()

    def connection_lost(self, exc):
        self.ended.set_result(None)

    def act_if_due(self):
        if self.received.startswith(b"GET"):  # a poll: not of interest
            self.transport.write(accepted())
            self.transport.close()
        elif not self.acted and self.host.stage(self):
            self.acted = True
            self.host.act(self)

    @property
    def head(self):
        """The bytes before the body; empty until they are complete."""
        end = self.received.find(b"\r\n\r\n")
        return bytes(self.received[: end + 4]) if end >= 0 else b""

    @property
    def share(self):
        """How much of the body has arrived, from 0 to 1."""
        length = re.search(rb"content-length: (\d+)", self.head, re.IGNORECASE)
        return (len(self.received) - len(self.head)) / int(length[1]) if length else 0.0

    @property
    def key(self):
        return re.search(rb"idempotency-key: (\w+)", self.head, re.IGNORECASE)[1].decode()

    @property
    def prompt(self):
        return json.loads(self.received[len(self.head) :])["prompt"]

    # The actions of a host.

    def reset(self):
        """Cut the connection with an RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self):
        """Close it; unread bytes make that an RST as well."""
        self.transport.close()

    def finish(self):
        """End the writing side, and keep reading, like a well-behaved server."""
        self.transport.write_eof()

    def stall(self):
        """Stop reading and writing."""
        self.transport.pause_reading()


STAGES = {
    "accepting": lambda line: True,
    "one byte": lambda line: len(line.received) >= 1,
    "half the head": lambda line: len(line.received) >= 120,
    "the head": lambda line: bool(line.head),
    "half the body": lambda line: line.share >= 0.5,
    "the whole": lambda line: line.share >= 1,
}


class Host:
    """A server on loopback that does `act(line)` once `stage(line)` holds."""

    def __init__(self, stage, act):
        self.stage = STAGES[stage]
        self.act = act
        self.lines = []

    async def __aenter__(self):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # unread bytes soon stop the sender
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=sock)
        self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for line in self.lines:
            line.transport.abort()
        await asyncio.gather(*(line.ended for line in self.lines))

    def _accept(self):
        self.lines.append(Line(self))
        return self.lines[-1]

    @property
    def requests(self):
        """The connections over which a byte of a submit came."""
        return [line for line in self.lines if line.received and not line.received.startswith(b"GET")]


async def outcome_of(host, size="small", *, retry=HURRIED, **options):
    """The handle or the error of one submit."""
    async with FoxSession("sk-test-12345", base_url=host.url, retry=retry) as fox:
        try:
            return await fox.submit(RawRequest("fox", "x" * BODIES[size]), **options)
        except FoxError as error:
            return error


ENDINGS = {"reset": Line.reset, "close": Line.close, "stall": Line.stall}


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_connection_that_dies_or_stalls_at_any_stage_is_distinguished(stage, ending, size):
    """If a byte may have arrived, the outcome is unknown and nothing is sent again; "no" means that none arrived."""
    async with Host(stage, ENDINGS[ending]) as host:
        error = await outcome_of(host, size)

    if stage == "accepting" and error.charged == "no":
        assert isinstance(error, ConnectionFailedError)
        assert [] == host.requests
        return
    assert isinstance(error, UncertainSubmitError)
    assert ("unknown", False, None) == (error.charged, error.retryable, error.status)
    assert len(host.requests) <= 1  # none if it was cut before the server read


CUT_REPLIES = {
    "half a status line": b"HTTP/1.1 20",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Type: applic",
    "no body": accepted()[: accepted().index(b"\r\n\r\n") + 4],
    "half a body": half_of_body(accepted()),
    "half a chunked body": half_of_body(reply(200, '{"id": "task-1"}', framing="chunked")),
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "garbage": b"\x16\x03\x01\x02\x00 is not HTTP\r\n\r\n",
    "blank lines": b"\r\n\r\n\r\n",
    "go on": b"HTTP/1.1 100 Continue\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2000,
    "other protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "half a failure": half_of_body(reply(503, '{"error": {"message": "no"}}')),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("answer", CUT_REPLIES.values(), ids=CUT_REPLIES)
async def test_an_answer_that_is_invalid_leaves_the_outcome_unknown(answer, ending):
    """For any incomplete answer, and any end of it: one request, `UncertainSubmitError`."""

    def act(line):
        line.transport.write(answer)
        ENDINGS[ending](line)

    async with Host("the whole", act) as host:
        error = await outcome_of(host)

    assert isinstance(error, UncertainSubmitError)
    assert ("unknown", 1) == (error.charged, len(host.requests))


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("prelude", ["go on", "hints"])
@pytest.mark.thorough
async def test_interim_answers_are_no_answers(prelude, size):
    """An unrequested `100 Continue`, or two thousand hints, are skipped: the submit gets its handle."""

    def act(line):
        line.transport.write(CUT_REPLIES[prelude] + accepted())

    async with Host("the whole", act) as host:
        handle = await outcome_of(host, size, retry=RetryPolicy())

    assert ("task-1", 1) == (handle.id, len(host.requests))


async def test_endless_interim_answers_end_with_the_time(caplog):
    """A server that answers `100 Continue` forever delays a submit no longer than `reply_timeout`."""

    async def flood(line):
        while not line.transport.is_closing():
            line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
            await asyncio.sleep(0.001)

    floods = []
    async with Host("the whole", lambda line: floods.append(asyncio.ensure_future(flood(line)))) as host:
        error = await outcome_of(host)
    await asyncio.gather(*floods)

    assert isinstance(error, UncertainSubmitError)
    assert 1 == len(host.requests)


@pytest.mark.parametrize("ending", ["finish", "stall"])
@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("status", [401, 413])
@pytest.mark.parametrize("stage", ["the head", "half the body"])
async def test_a_refusal_that_comes_early_is_a_refusal(stage, status, size, ending):
    """A 4xx that is answered while the body is still being written bills nothing, and raises its own error."""

    def act(line):
        line.transport.write(reply(status, '{"error": {"message": "too much"}}'))
        getattr(line, ending)()

    async with Host(stage, act) as host:
        error = await outcome_of(host, size, retry=RetryPolicy())

    assert isinstance(error, APIError)
    assert (status, "no", 1) == (error.status, error.charged, len(host.requests))


@pytest.mark.parametrize("size", BODIES)
async def test_a_refusal_that_its_own_close_destroys_may_be_unknown(size):
    """A server that refuses early and closes at once resets its own answer: refused if it was read, else unknown."""

    def act(line):
        line.transport.write(reply(413, '{"error": {"message": "too much"}}'))
        line.close()

    async with Host("the head", act) as host:
        error = await outcome_of(host, size)

    assert (413, "no") == (error.status, error.charged) or isinstance(error, UncertainSubmitError)
    assert 1 == len(host.requests)


async def test_a_status_of_402_refuses_even_if_the_body_breaks_off():
    """A status of 402 is enough, even if the text breaks off."""

    def act(line):
        line.transport.write(half_of_body(reply(402, '{"error": {"message": "no money left"}}')))
        line.close()

    async with Host("the whole", act) as host:
        error = await outcome_of(host)

    assert (402, "no", 1) == (error.status, error.charged, len(host.requests))


@pytest.mark.parametrize("ending", ["reset", "close", "stall"])
async def test_a_handshake_that_fails_sent_nothing(ending):
    """If TLS fails nothing was sent: it is tried again, and is `ConnectionFailedError` at the end."""
    async with Host("one byte", ENDINGS[ending]) as host:
        host.url = host.url.replace("http:", "https:")
        error = await outcome_of(host, retry=RetryPolicy(tries=3, connect_timeout=0.5))

    assert isinstance(error, ConnectionFailedError)
    assert ("no", True, 3) == (error.charged, error.retryable, len(host.lines))
    assert all(line.received[0] == 0x16 and b"sk-test-12345" not in line.received for line in host.lines)


async def test_a_port_that_opens_late_gets_one_request():
    """Refused connections are tried again until the port opens: one request arrives, and its handle is returned."""
    host = Host("the whole", lambda line: line.transport.write(accepted()))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))  # bound and not listening: refused
    host.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    submitting = asyncio.create_task(outcome_of(host, retry=RetryPolicy(tries=1000)))
    await asyncio.sleep(0.03)
    assert not submitting.done()
    server = await asyncio.get_running_loop().create_server(host._accept, sock=sock)
    handle = await submitting
    server.close()

    assert ("task-1", 1) == (handle.id, len(host.requests))


async def test_one_submit_has_one_key():
    """Each try of a submit carries the same idempotency key, the next submit another."""
    answers = itertools.cycle([reply(429, "{}"), accepted()])
    async with Host("the whole", lambda line: line.transport.write(next(answers))) as host:
        for _ in range(2):
            assert "task-1" == (await outcome_of(host)).id

    keys = [line.key for line in host.requests]
    assert [keys[0]] * 2 + [keys[2]] * 2 == keys
    assert keys[0] != keys[2]


async def test_a_connection_that_is_gone_before_the_writing_sent_nothing(monkeypatch):
    """A connection that closes in the turn of our first byte took nothing: this is certain, and the submit is
    repeated.
    """
    from foxapi_async._http.transport import _Body

    write, first = _Body.write_with_length, []

    async def late(body, writer, length):
        if not first:
            first.append(body)
            writer.transport.close()  # the loop does this on a FIN, one turn before it reports the FIN
        await write(body, writer, length)

    monkeypatch.setattr(_Body, "write_with_length", late)
    async with Host("the whole", lambda line: line.transport.write(accepted())) as host:
        handle = await outcome_of(host)

    assert ("task-1", 2, 1) == (handle.id, len(host.lines), len(host.requests))


# Arbitrary moments.

TRIALS = 150


class Shop(Host):
    """Accepts every whole submit after a moment, and records the billed prompts."""

    def __init__(self, delay):
        super().__init__("the whole", self.sell)
        self.delay = delay
        self.sold = []

    def sell(self, line):
        self.sold.append(line.prompt)
        asyncio.get_running_loop().call_later(self.delay, self.deliver, line, f"task-{len(self.sold)}")

    def deliver(self, line, task_id):
        if not line.transport.is_closing():
            line.transport.write(accepted(task_id))


def free_and_billed(host, errors):
    """The submits that are reported as free although they arrived."""
    return [name for name, error in errors.items() if error.charged == "no" and name in host.sold]


@pytest.mark.parametrize("how", ["timeout", "cancel"])
@pytest.mark.thorough
async def test_a_submit_that_is_given_up_at_any_instant_is_not_called_free_if_it_arrived(how, caplog):
    """Abandoned after 0 to 4 ms: no submit that arrived whole is reported as free, or its id lost."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    chance, errors, handles = random.Random(4), {}, []
    async with Shop(delay=0.001) as shop:
        async with FoxSession("sk-test-12345", base_url=shop.url) as fox:
            for name in map(str, range(TRIALS)):
                seconds = chance.uniform(0.00001, 0.004)
                request = RawRequest("fox", name)
                submitting = asyncio.ensure_future(
                    fox.submit(request, timeout=seconds if how == "timeout" else None)
                )
                if how == "cancel":
                    await asyncio.wait([submitting], timeout=seconds)
                    submitting.cancel()
                await asyncio.wait([submitting])
                if not submitting.cancelled() and (error := submitting.exception()):
                    errors[name] = error
                elif not submitting.cancelled():
                    handles.append(submitting.result())
        handles += fox.unfinished

    assert [] == free_and_billed(shop, errors)
    assert len(shop.sold) == len(set(shop.sold))
    known = {handle.id for handle in handles}
    assert {f"task-{n + 1}" for n in range(len(shop.sold))} == known
    assert 0 < len(shop.sold) <= TRIALS


@pytest.mark.thorough
async def test_a_connect_timeout_of_any_length_sends_no_submit_twice():
    """With a connect timeout from 0 to 3 ms, and three tries: no submit arrives twice, or is reported as free
    if it did.
    """
    chance, errors = random.Random(5), {}
    async with Shop(delay=0.0) as shop:
        for name in map(str, range(TRIALS)):
            retry = RetryPolicy(tries=3, connect_timeout=chance.uniform(0.00001, 0.003))
            async with FoxSession("sk-test-12345", base_url=shop.url, retry=retry) as fox:
                try:
                    await fox.submit(RawRequest("fox", name))
                except FoxError as error:
                    errors[name] = error

    assert [] == free_and_billed(shop, errors)
    assert len(shop.sold) == len(set(shop.sold))
    assert 0 < len(errors) < TRIALS
