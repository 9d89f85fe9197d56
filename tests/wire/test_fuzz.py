"""For all bytes that the service may answer: a value or a FoxError that can be kept, in limited time and
memory.

Hypothesis writes the JSON as text, not through `json.dumps`: with numbers, names and encodings that no normal
program makes. The result must also work: it is printed, pickled, copied, tracked and polled.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import pickle

import attrs
import pytest
from helpers import fox_request, now
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from foxapi_async import Cadence, FoxError, FoxSession, GeneratedImage, TaskResult
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.tracked_task import TrackedTask
from foxapi_async._errors import APIError, DownloadError, ResponseDecodeError, UncertainSubmitError
from foxapi_async._files.names import safe_name
from foxapi_async._handles.snapshot import TaskSnapshot, ending_of, signal_of, snapshot_of
from foxapi_async._handles.state import REMOTELY_OVER, Signal
from foxapi_async._policy.judge import judge_read, judge_submit
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.error_replies import MAX_ENVELOPE_BYTES, read_error
from foxapi_async._wire.json_values import MAX_DEPTH, excerpt, make_document
from foxapi_async._wire.replies import (
    TaskReply,
    UploadedFile,
    read_status,
    read_task,
    read_upload,
)
from foxapi_async._wire.requests import Failure, Reply
from foxapi_async._wire.results import MOST_FILES

ID = "task-1"
KEY = "sk-test-12345"

# JSON as text.

numbers = st.sampled_from([
    "0", "-0", "-0.0", "1e308", "-1e308", "1e999", "-1e999", "1e-999", "5e-324", "100", "1754380800", "45", "2.5",
    "9007199254740993", "1" * 400, "1" * 4299, "1" * 5000, "NaN", "Infinity", "-Infinity", "01", "1_0", "+1",
])  # fmt: skip
texts = st.sampled_from([
    '""', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u202e"', '"1e999"', '"NaN"', '"-1"', '"45"', '"1_0"', '" 7 "',
    '"completed"', '"COMPLETED"', '"failed"', '"cancelled"', '"processing"', '"\x00"', '"\n"', '"a/b"', '"a#b"', '".."',
    '"http://127.0.0.1:9/a.png"', '"https://user:pw@cdn.test/a b.png"', '"http://"', '"javascript:alert(1)"',
    '"file:///etc/passwd"', '"data:image/png;base64,AA"', '"/a.png"', '"//cdn.test/a"', '" http://cdn.test"', f'"{ID}"',
    '"retry after 60 seconds"', '"request_id: abcdef"', '"service_unavailable_error"',
])  # fmt: skip
leaves = (
    st.sampled_from(["null", "true", "false", "[]", "{}"])
    | numbers
    | texts
    | st.text(max_size=8).map(json.dumps)
)
NAMES = [
    "id",
    "object",
    "type",
    "model",
    "status",
    "progress",
    "created",
    "results",
    "output",
    "error",
    "usage",
    "url",
    "urls",
    "content_type",
    "task_info",
    "can_cancel",
    "estimated_time",
    "size",
    "filename",
    "message",
    "code",
    "retry_after",
    "fallback_suggestion",
    "credits_reserved",
    "data",
]
names = st.sampled_from(NAMES).map(json.dumps) | st.text(max_size=4).map(json.dumps)


def as_object(members):
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


def as_array(values):
    return f"[{','.join(values)}]"


def nested(depth, opening="[", closing="]"):
    return opening * depth + "1" + closing * depth


any_json = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(as_array)
        | st.lists(st.tuples(names, inner), max_size=4).map(as_object)  # names may come twice
    ),
    max_leaves=8,
)
deep = st.sampled_from(
    [nested(depth) for depth in (20, MAX_DEPTH - 2, MAX_DEPTH, 250, 330, 480, 900, 990, 10_000)]
    + [nested(depth, '{"a":', "}") for depth in (MAX_DEPTH - 2, MAX_DEPTH, 400, 980, 10_000)]
)
values = any_json | deep


def member(name, *likely):
    return st.tuples(st.just(f'"{name}"'), st.sampled_from(likely) | values if likely else values)


# The fields that the readers use, mostly with sensible values; the last of two members of one name counts.
tasks = st.tuples(
    member("id", f'"{ID}"', "5", '"a/b"'),
    member("status", '"processing"', '"completed"', '"failed"', '"cancelled"'),
    st.lists(
        member("results", '[{"url":"http://127.0.0.1:9/a.png"}]', "[null]")
        | member("task_info", '{"estimated_time":45}', '{"estimated_time":1e308}', '{"estimated_time":-1}')
        | member("progress", "40", "-1", "1e308", "true")
        | member("created", "0", "1754380800", "-1e308", '"inf"')
        | member("error", '{"code":1,"message":"no","type":[]}', '"no"')
        | member("output", '{"urls":["http://127.0.0.1:9/b.png"]}')
        | member("model", '"m"')
        | member("url", '"https://cdn.test/u.png"')
        | member("usage")
        | member("size"),
        max_size=6,
    ),
).map(lambda parts: as_object([*parts[:2], *parts[2]]))
envelopes = st.lists(
    member("message", '"try again in 1e5s"', '"request_id: abcdef"')
    | member("code", '"unsupported_advanced_options"', "1004")
    | member("type", '"service_unavailable_error"')
    | member("retry_after", "60", "-1", "1e308", "1e999")
    | member("fallback_suggestion", '"retry after 60 seconds"'),
    max_size=5,
).map(lambda members: as_object([('"error"', as_object(members))]))

encodings = st.sampled_from(
    ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1"]
)


def encoded(text, encoding, tail, cut):
    data = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass") + tail
    return data[:-cut] if cut else data


bodies = st.binary(max_size=64) | st.builds(
    encoded,
    tasks | envelopes | values,
    encodings,
    st.sampled_from([b""] * 5 + [b"\r\n", b"\0", b" {}", b"\x1f"]),
    st.sampled_from([0] * 9 + [1, 7]),
)
NOW = "Tue, 05 Aug 2025 08:00:00 GMT"
header_texts = st.text(max_size=20) | st.sampled_from([
    NOW, "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 -2359", "5", "-5", "1e308", "1e999", "NaN", "1" * 5000,
    "application/json; charset=utf-7", "text/html", "\ud800", "\x1b[31m", "(" * 300,
])  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Date", "Content-Type", "x-request-id", "X-Oneapi-Request-Id", "Server"]),
    header_texts,
    max_size=4,
).map(CIMultiDict)


def as_large(reply):
    """The same reply as a thread leaves it, if it had a large body."""
    document = make_document(reply.body)
    return reply._replace(document=document) if reply.whole else reply._replace(too_large=True)


replies = st.builds(
    Reply,
    status=st.sampled_from([200, 200, 200, 202, 400, 401, 404, 408, 409, 422, 429, 500, 503])
    | st.integers(100, 999),
    headers=headers,
    body=bodies,
    whole=st.sampled_from([True] * 9 + [False]),
    too_large=st.just(False),
    document=st.none(),
).flatmap(lambda reply: st.sampled_from([reply, as_large(reply)]))


def seen(reply):
    """Our task in a status reply, as users see it."""
    return snapshot_of(read_status(reply, ID))


READERS = {
    "task": lambda reply: snapshot_of(read_task(reply)),
    "status": seen,
    "upload": read_upload,
    "error": read_error,
}


def assert_finite(value):
    """Every number that was read is finite."""
    for name in ("estimated_time", "progress", "created", "retry_after", "size"):
        number = getattr(value, name, None)
        assert number is None or math.isfinite(number), (name, number)


def assert_keeps(value):
    """It can be printed, hashed, pickled and copied, and is the same afterwards."""
    assert repr(value).encode()
    hash(value)
    if not isinstance(value, FoxError):
        assert json.dumps(value.raw, ensure_ascii=False, allow_nan=False).encode()
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        if isinstance(value, FoxError):
            assert (type(value), vars(value), str(value)) == (type(again), vars(again), str(again))
        else:
            assert value == again
            assert value.raw == again.raw


def assert_ours(error):
    """Its text is one printable line of ours, without a foreign cause."""
    assert isinstance(error, FoxError)
    assert (None, None) == (error.__cause__, error.__context__)
    assert str(error).isprintable()
    assert len(str(error)) < 1200


# Reading and judging.


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@given(reply=replies)
def test_any_reply_is_a_value_or_our_error_that_keeps(read, reply):
    """Every reader gives a value or a FoxError, with finite numbers, which survives printing and pickling."""
    try:
        value = read(reply)
    except FoxError as error:
        value = error
    if isinstance(value, FoxError):
        assert isinstance(value, APIError | ResponseDecodeError)
        assert_ours(value)
    else:
        assert isinstance(value, TaskSnapshot | UploadedFile)
    assert_finite(value)
    assert_keeps(value)


@given(
    outcome=replies | st.builds(Failure, reason=st.just("no answer in time"), sent=st.booleans()),
    earlier=st.integers(0, 3),
    maybe_accepted=st.booleans(),
    resubmit=st.booleans(),
)
def test_any_answer_to_a_submit_is_a_task_or_a_verdict(outcome, earlier, maybe_accepted, resubmit):
    """Only a usable id is a task; only a plain refusal, or an unsent request, means that nothing was billed."""
    judged = judge_submit(outcome, "key", earlier=earlier, maybe_accepted=maybe_accepted, resubmit=resubmit)
    if isinstance(judged, TaskReply):
        assert_keeps(snapshot_of(judged))
        return
    refused = not outcome.sent if isinstance(outcome, Failure) else 300 <= outcome.status < 500
    certain = judged.error.charged == "no"

    assert not certain or (refused and not maybe_accepted)
    assert certain or isinstance(judged.error, UncertainSubmitError)
    assert certain or resubmit or not judged.again or refused
    assert "no" == judged.error.charged or not judged.error.retryable
    assert_ours(attrs.evolve(judged).error)
    assert_keeps(judged.error)
    assert judged.retry_after is None or 0 <= judged.retry_after < math.inf


@pytest.mark.parametrize("kind", ["poll", "fetch", "upload"])
@given(reply=replies, fresh=st.booleans())
def test_any_answer_to_a_read_is_a_value_or_a_verdict(kind, reply, fresh):
    """A poll never says that its task is free, and a fetch or an upload never that it cost anything."""
    judged = judge_read(reply, READERS["upload" if kind == "upload" else "status"], kind, ID, fresh=fresh)
    if not isinstance(judged, Verdict):
        assert 200 <= reply.status < 300
        return

    assert (judged.error.charged == "no") is (kind != "poll")
    assert ID == judged.error.task_id
    assert not judged.hold or 429 == reply.status
    assert_ours(judged.error)
    assert_keeps(judged.error)
    assert judged.retry_after is None or 0 <= judged.retry_after < math.inf


# Tracking.


@given(
    st.lists(
        st.tuples(tasks, st.floats(0, 1e4) | st.sampled_from([0.0, 1e-9, 1e9]), header_texts),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
    st.none() | st.floats() | st.sampled_from([10**400, -(10**400), True]),
)
@settings(max_examples=60)
@pytest.mark.thorough
def test_any_replies_can_be_polled(readings, from_start, estimated_time):
    """For any progress and times of a service, the next poll has a moment and every event its numbers."""
    estimates, moment = Estimates(), 0.0
    watch = TrackedTask(ID, 0.0, estimated_time, 10.0, from_start=from_start)
    for text, pause, date in readings:
        try:
            snapshot = seen(Reply(200, {}, text.encode("utf-8", "surrogatepass")))
        except ResponseDecodeError:
            continue
        moment += pause
        over = signal_of(snapshot) in REMOTELY_OVER
        event = watch.read(snapshot, date, estimates, moment)

        assert 0 <= event.elapsed < math.inf
        assert event.remaining is None or 0 <= event.remaining < math.inf
        assert pickle.loads(pickle.dumps(event)) == event == copy.deepcopy(event)
        if over:
            ending = ending_of(snapshot, event.elapsed)
            assert isinstance(ending, TaskResult | FoxError)
            assert isinstance(ending, TaskResult) is (signal_of(snapshot) is Signal.COMPLETED)
            return
        assert 0 < watch.gap(Cadence(), moment, step=1.0) < math.inf


# A whole session, on the virtual loop.


@contextlib.asynccontextmanager
async def answering(answers):
    """A service that gives each connection one of the answers, as bytes: the first to submits, the others to
    reads.
    """
    reads, seen = answers[1:] or answers, []

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_submit = head.startswith(b"POST")
            seen.append(head[:4])
            writer.write(answers[0] if is_submit else reads[len(seen) % len(reads)])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()


def on_the_wire(reply):
    """A reply as HTTP, if it can be written at all."""
    lines = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {len(reply.body)}", "Connection: close"]
    lines += [
        f"{name}: {' '.join(value.split())}"
        for name, value in reply.headers.items()
        if name != "Content-Type"
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + reply.body


ACCEPTED = on_the_wire(
    Reply(202, {}, b'{"id":"task-1","status":"pending","task_info":{"estimated_time":30}}')
)
wire_answers = (
    replies.map(on_the_wire)
    | st.binary(max_size=40)
    | st.binary(max_size=40).map(lambda junk: b"HTTP/1.1 200 OK\r\n" + junk)
    | tasks.map(lambda text: on_the_wire(Reply(200, {}, text.encode("utf-8", "surrogatepass"))))
)


@pytest.mark.virtual
@given(
    st.lists(wire_answers, max_size=4).map(lambda rest: [ACCEPTED, *rest])
    | st.lists(wire_answers, min_size=2, max_size=4)
)
@example([ACCEPTED, on_the_wire(Reply(200, {}, b'{"status":"completed","results":[]}'))])
@example([ACCEPTED, on_the_wire(Reply(429, {"Retry-After": "1e308"}, b""))])
@example([ACCEPTED, on_the_wire(Reply(429, {"Retry-After": "0"}, b""))])
@settings(max_examples=60)
@pytest.mark.thorough
async def test_whatever_is_answered_a_session_ends_by_its_deadline(answers):
    """Fuzzed answers neither hang nor stop a session: it gives a result or a FoxError in time, with a
    moderate number of requests.
    """
    async with answering(answers) as (url, seen):
        began = now()
        async with FoxSession(KEY, base_url=url) as fox:
            try:
                result = await fox.generate(fox_request(), timeout=120)
            except FoxError as error:
                result = error
                assert KEY not in f"{error!r} {vars(error)}"
                assert str(error).isprintable()
            late = now() - began - 120
            known = [handle.id for handle in fox.unfinished]
        assert isinstance(result, TaskResult | FoxError)
        assert late < 0.05
        assert now() - began < 121 + 10
        assert seen.count(b"POST") <= 5
        assert len(seen) < 400
        if isinstance(result, FoxError) and result.charged == "yes":
            assert [result.task_id] == known


HOSTS = [
    "127.0.0.1:9",
    "127.0.0.1:99999",
    "127.0.0.1:-1",
    "",
    "[",
    "[::1",
    "u:p@127.0.0.1:9",
    "@",
    ":@:",
    "%",
    "\x00",
]


@pytest.mark.virtual
@given(st.sampled_from(HOSTS), st.text(max_size=30), st.sampled_from(["http://", "HTTPS://", "hTTp://"]))
@example(host="127.0.0.1:9", path="a b" * 5000, scheme="http://")
@settings(max_examples=60)
async def test_any_result_address_is_tried_or_refused(host, path, scheme):
    """An http(s) address that leads nowhere, in any form, is a DownloadError."""
    snapshot = seen(
        Reply(200, {}, json.dumps({"status": "completed", "results": [f"{scheme}{host}/{path}"]}).encode())
    )
    (image,) = snapshot.images
    with pytest.raises(DownloadError) as caught:
        await image.read()

    assert image.url == caught.value.url
    assert_keeps(caught.value)
    assert isinstance(pickle.loads(pickle.dumps(image)), GeneratedImage)


@given(st.text(max_size=600))
def test_any_id_names_a_file_in_its_folder(task_id):
    """Every id that a reply can contain gives a usable file name, of one visible part, even with lone surrogates."""
    name = safe_name(task_id)

    assert 1 <= len(name.encode("ascii")) <= 100
    assert not {"/", "\\", ":", "\0"} & set(name)
    assert not name.startswith(".")


# Bounds.


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_a_reply_is_as_deep_as_can_be_copied(opening, closing):
    """A hundred levels are read, and can be copied and pickled; one more is unreadable, for any parser limit."""
    head, tail = '{"status":"completed","results":[{"url":"http://a/b"}],"x":', "}"
    deepest = seen(Reply(200, {}, f"{head}{nested(MAX_DEPTH - 1, opening, closing)}{tail}".encode()))

    assert_keeps(deepest)
    with pytest.raises(ResponseDecodeError, match="RecursionError"):
        read_status(Reply(200, {}, f"{head}{nested(MAX_DEPTH, opening, closing)}{tail}".encode()), ID)


def test_brackets_in_a_text_are_not_depth():
    """The words of a task may hold any number of brackets."""
    assert "[" * 5000 == read_status(Reply(200, {}, b'{"status":"' + b"[" * 5000 + b'"}'), ID).status
    with pytest.raises(ResponseDecodeError, match="a JSON str"):
        read_status(Reply(200, {}, b'"' + b"[" * 5000 + b'"'), ID)


@pytest.mark.parametrize("form", ['"results":[%s]', '"output":{"urls":[%s]}'], ids=["results", "output"])
def test_the_number_of_images_is_bounded(form):
    """Of a hundred thousand results the first become images, and all stay in `raw`."""
    listed = ",".join(["null", *['"http://a"'] * 2 * MOST_FILES])
    snapshot = seen(Reply(200, {}, ('{"status":"completed",' + form % listed + "}").encode()))

    assert MOST_FILES == len(snapshot.images)
    assert 2 * MOST_FILES < str(snapshot.raw).count("http://a") + 1
    assert snapshot.finished


def test_a_long_refusal_is_quoted_and_not_parsed():
    """An error body of more than 64 KiB is not parsed: its status decides, and its beginning is shown."""
    words = {"message": "m", "code": "c", "retry_after": 5}
    short, long = (
        read_error(Reply(429, {}, json.dumps({"error": words, "x": "x" * size}).encode()))
        for size in (MAX_ENVELOPE_BYTES - 100, MAX_ENVELOPE_BYTES)
    )

    assert ("c", "m", 5.0) == (short.code, short.message, short.retry_after)
    assert (None, None) == (long.code, long.retry_after)
    assert long.message.startswith('{"error"')


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<html><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        ("<TITLE>\n cut off", "cut off"),
        ("<title></title><h1>x", "<title></title><h1>x"),
        ("<title>" * 1000, "<title>" * 42),
    ],
)
def test_a_page_is_known_by_its_title(page, words):
    """A page's title is shown, also if the page breaks off in it; a page without one is quoted."""
    assert excerpt(Reply(502, {}, page.encode())).startswith(words)


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ("a/b", "a/b"),
        ("a#1%", "a#1%"),
        ("x" * 513, None),
        ("\x1b[31m", None),
        ("  ", None),
        ("", None),
        (None, None),
        (1.5, None),
    ],
)
def test_an_id_that_cannot_be_asked_for_is_not_lost(given_id, kept):
    """An accepted task's id that no path can hold is in the error, so that users can quote it to the
    service's support.
    """
    with pytest.raises(ResponseDecodeError, match="no usable task id") as caught:
        read_task(Reply(200, {}, json.dumps({"id": given_id}).encode()))

    assert kept == caught.value.task_id
