"""The FastAPI and Starlette package: one session per app, errors as answers, events, and the routes."""

import asyncio
import base64
import contextlib
import importlib
import inspect
import io
import itertools
import json
import logging
import random
import signal
import sys
import types
from pathlib import Path

import pytest
from helpers import fox_request, now, polls, posts, session_at
from hypothesis import given
from hypothesis import strategies as st
from key_finder import KEY, has_key, texts_of_error

from foxapi_async import _errors
from foxapi_async.emulator import Emulator, Fault

pytest.importorskip("fastapi.sse", reason="needs the extra fastapi")

from apps.asgi import Client, events_in, make_app
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from foxapi_async.fastapi import Fox, add_error_handlers, event_response, fox_lifespan, image_router
from foxapi_async.fastapi._answers import answer_to, error_response
from foxapi_async.fastapi._body import MAX_BODY_BYTES, MAX_COMMAS
from foxapi_async.fastapi._events import HEARTBEAT_SECONDS
from foxapi_async.fastapi._stopping import STATE_KEY

pytestmark = pytest.mark.virtual

A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}


@pytest.fixture
async def client(emulator):
    async with Client(make_app(emulator)) as client:
        yield client


async def submitted(client, **fields):
    """The path of a new task."""
    answer = await client.post("/images", {**A_FOX, **fields})
    assert 202 == answer.status, answer.text
    return f"/images/{answer.json['id']}"


def logged(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# The session of an app.


async def test_an_app_owns_one_session(emulator):
    """The session is open while the app runs, is the same for every handler, and closes with the app."""
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))
    seen = []

    @app.get("/")
    async def look(fox: Fox):
        seen.append(fox)

    async with Client(app) as client:
        await client.get("/")
        await client.get("/")
        assert f"<FoxSession {emulator.url} open>" == repr(client.fox)

    assert [client.fox, client.fox] == seen
    assert f"<FoxSession {emulator.url} closed>" == repr(client.fox)


async def test_an_app_starts_again_with_a_new_session(emulator):
    """A lifespan may be entered more than once, each time with a new session."""
    app = make_app(emulator)
    async with Client(app) as first:
        pass
    async with Client(app) as second:
        assert first.fox is not second.fox


async def test_a_lifespan_of_ones_own(emulator):
    """A user's lifespan enters this package's one, and adds its state to its own."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with fox_lifespan(api_key=emulator.key, base_url=emulator.url)(app) as state:
            yield {**state, "mine": 1}

    async with Client(FastAPI(lifespan=lifespan)) as client:
        assert {"fox", STATE_KEY, "mine"} == set(client.state)


def test_the_session_of_a_websocket(foxapi_emulator):
    """The dependency works in a websocket, and under a server in another thread than the main one."""
    app = FastAPI(lifespan=fox_lifespan())

    @app.websocket("/")
    async def talk(socket: WebSocket, fox: Fox):
        await socket.accept()
        await socket.send_text(repr(fox))
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/") as socket:
        assert f"<FoxSession {foxapi_emulator.url} open>" == socket.receive_text()


async def test_an_app_without_the_lifespan(caplog):
    """Without a session the client gets 500 without a reason, and the log says what to do."""
    app = FastAPI()
    app.include_router(image_router(dependencies=[]))
    async with Client(app) as client:
        answer = await client.get("/images/task-1")

    assert (500, "internal") == (answer.status, answer.error["type"])
    assert "fox_lifespan" not in answer.text
    assert any("fox_lifespan()" in text for text in logged(caplog, logging.ERROR))


def no_session(caplog):
    """What the log says about a missing session."""
    (text,) = [text for text in logged(caplog, logging.ERROR) if "no session is open" in text]
    return text


async def test_the_lifespan_of_a_mounted_app(emulator, caplog):
    """The lifespan of a mounted app never runs. The client gets 500, and the log says so and what to do."""
    app = FastAPI()
    app.mount("/api", make_app(emulator))
    async with Client(app) as client:
        answer = await client.post("/api/images", A_FOX)

    assert (500, "internal") == (answer.status, answer.error["type"])
    assert "the lifespan of a mounted app does not run" in no_session(caplog)


def test_a_test_client_that_is_not_entered(foxapi_emulator, caplog):
    """Without `with`, no lifespan runs. The client gets 500, and the log says so and what to do."""
    answer = TestClient(make_app(foxapi_emulator)).get("/images/task-1/result")

    assert (500, "internal") == (answer.status_code, answer.json()["error"]["type"])
    assert "with TestClient(app) as client" in no_session(caplog)


async def test_no_traceback_shows_the_key():
    """An app that cannot start says why, and no frame of the traceback shows the key."""
    lifespan = fox_lifespan(api_key=KEY, base_url="ftp://wrong")
    with pytest.raises(_errors.ConfigurationError) as caught:
        async with lifespan(None):
            pass

    assert [] == [where for where, text in texts_of_error(caught.value) if has_key(text)]
    assert not has_key(repr(lifespan))


def test_without_fastapi(monkeypatch):
    """Importing the module without FastAPI, or with one that has no SSE, names the extra."""
    for name in [name for name in sys.modules if name.startswith("foxapi_async.fastapi")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ImportError, match=r"pip install 'foxapi-async\[fastapi\]'"):
        importlib.import_module("foxapi_async.fastapi")


# Errors as answers.

SECRET = "sk-internal db01.corp balance 0.03"

ANSWERS = [
    (_errors.InvalidRequestError(SECRET, problems=("prompt: missing",)), 422, "invalid_request", None, None),
    (_errors.TaskFailedError("task t failed", code="content_policy", task_id="t"), 502, "task_failed", None, None),
    (_errors.TaskCancelledError("task t was cancelled", task_id="t"), 502, "task_cancelled", None, None),
    (_errors.UnreadableResultError(SECRET, task_id="t"), 502, "unreadable_result", None, "ERROR"),
    (_errors.TaskTimeoutError(SECRET, task_id="t"), 504, "not_ready", None, None),
    (_errors.TaskAbandonedError(SECRET, task_id="t"), 504, "not_ready", None, None),
    (_errors.UncertainSubmitError(SECRET, status=502), 502, "uncertain_submit", None, "ERROR"),
    (_errors.AuthenticationError(SECRET, status=401), 503, "unavailable", "30", "ERROR"),
    (_errors.AuthenticationError(SECRET, status=401, charged="yes"), 503, "unavailable", None, "ERROR"),
    (_errors.AuthenticationError(SECRET, status=401, task_id="t"), 503, "unavailable", None, "ERROR"),
    (_errors.InsufficientQuotaError(SECRET, status=402), 503, "unavailable", "30", "ERROR"),
    (_errors.InsufficientQuotaError(SECRET, status=403), 503, "unavailable", "30", "ERROR"),
    (_errors.InsufficientQuotaError(SECRET, status=403, task_id="t"), 503, "unavailable", None, "ERROR"),
    (_errors.PermissionDeniedError(SECRET, status=403, charged="yes", task_id="t"), 503, "unavailable", None, "ERROR"),
    (_errors.NotFoundError(SECRET, status=404, task_id="t"), 404, "not_found", None, None),
    (_errors.NotFoundError(SECRET, status=404), 502, "upstream", None, "WARNING"),
    (_errors.NotFoundError("x", status=404, detail="no such model", code="model"), 422, "refused", None, None),
    (_errors.RateLimitError(SECRET, status=429, retry_after=0.2), 429, "rate_limited", "1", None),
    (_errors.RateLimitError(SECRET, status=429, retry_after=7.1), 429, "rate_limited", "8", None),
    (_errors.RateLimitError(SECRET, status=429, retry_after=1e12), 429, "rate_limited", "86400", None),
    (_errors.RateLimitError(SECRET, status=429), 429, "rate_limited", "5", None),
    (_errors.RateLimitError(SECRET, status=429, charged="yes"), 429, "rate_limited", None, None),
    (_errors.ServiceUnavailableError(SECRET, status=503, retry_after=3), 503, "unavailable", "3", "WARNING"),
    (_errors.ConnectionFailedError(SECRET), 503, "unavailable", "5", "WARNING"),
    (_errors.BadRequestError("x", status=400, detail="bad size", type="invalid"), 400, "refused", None, None),
    (_errors.UnprocessableError("x", status=422, detail="bad size", code="size"), 422, "refused", None, None),
    (_errors.PayloadTooLargeError("x", status=413, detail="too large", type="invalid"), 413, "refused", None, None),
    (_errors.BadRequestError(SECRET, status=400, detail=SECRET), 502, "upstream", None, "WARNING"),
    (_errors.BadRequestError(SECRET, status=400, type="x", task_id="t"), 502, "upstream", None, "WARNING"),
    (_errors.ServerError(SECRET, status=500, type="x"), 502, "upstream", None, "WARNING"),
    (_errors.APIError(SECRET, status=302, type="x"), 502, "upstream", None, "WARNING"),
    (_errors.ResponseDecodeError(SECRET), 502, "upstream", None, "WARNING"),
    (_errors.DownloadError(SECRET), 502, "no_file", None, "WARNING"),
    (_errors.ConfigurationError(SECRET), 500, "internal", None, "ERROR"),
    (_errors.LedgerError(SECRET), 500, "internal", None, "ERROR"),
    (_errors.FoxError(SECRET), 502, "upstream", None, "WARNING"),
]  # fmt: skip


def starlette_app(handler):
    return Starlette(routes=[Route("/", handler)])


def fastapi_app(handler):
    app = FastAPI()
    app.add_route("/", handler)
    return app


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
@pytest.mark.parametrize(
    ("error", "status", "kind", "pause", "level"), ANSWERS, ids=lambda value: str(value)[:25]
)
async def test_how_an_error_is_answered(error, status, kind, pause, level, make, caplog):
    """Each error has its status and type; facts about our account are hidden, and logged once instead."""

    async def fail(_):
        raise error

    app = make(fail)
    add_error_handlers(app)
    async with Client(app) as client:
        answer = await client.get("/")

    assert (status, kind) == (answer.status, answer.error["type"])
    assert pause == answer.headers.get("retry-after")
    assert SECRET not in answer.text
    assert answer.error["message"]
    ours = [record for record in caplog.records if record.name == "foxapi_async"]
    assert ([level] if level else []) == [record.levelname for record in ours]
    assert all(SECRET in record.getMessage() for record in ours)


def test_every_error_has_a_row():
    """Every error of the package has a row in the table above."""
    errors = {
        cls
        for cls in vars(_errors).values()
        if inspect.isclass(cls) and issubclass(cls, _errors.FoxError) and cls is not _errors.TaskError
    }
    assert errors == {type(row[0]) for row in ANSWERS}


def test_the_fields_of_an_error_body():
    """The body has problems, details, code and id if there are any, and nothing else."""
    bodies = [json.loads(error_response(ANSWERS[row][0]).body)["error"] for row in (0, 1, 4, 6)]
    extras = [{k: v for k, v in body.items() if k not in {"type", "message"}} for body in bodies]

    assert [
        {
            "problems": ["prompt: missing"],
            "details": [{"type": "other", "field": "", "message": "prompt: missing", "ctx": {}}],
        },
        {"code": "content_policy", "id": "t"},
        {"id": "t"},
        {},
    ] == extras
    assert "It may be billed" in bodies[3]["message"]


CLASSES = [type(row[0]) for row in ANSWERS]


@given(
    cls=st.sampled_from(CLASSES),
    charged=st.sampled_from(["no", "yes", "unknown", None]),
    task_id=st.none() | st.just("t"),
    status=st.integers(300, 599),
)
def test_only_what_cannot_be_billed_twice_may_be_repeated(cls, charged, task_id, status):
    """For every error, Retry-After is sent only if the request cannot be billed twice; and the status is an
    error's.
    """
    extra = {"status": status, "type": "x"} if issubclass(cls, _errors.APIError) else {}
    error = cls("words", charged=charged, task_id=task_id, **extra)
    answer = answer_to(error)

    assert answer.retry_after is None or error.charged == "no"
    assert 400 <= answer.status < 600


# Events.


async def test_a_task_as_events(client):
    """A stream sends the current state at once, then each poll, then one final event with the images, and ends."""
    path = await submitted(client, num_outputs=2)
    answer = await client.get(f"{path}/events")
    kinds = [event.kind for event in answer.events]
    first, last = answer.events[0], answer.events[-1]

    assert ["progress"] * (len(kinds) - 1) + ["final"] == kinds
    assert len(kinds) > 2
    assert 200 == answer.status
    assert ("no-cache", "no") == (answer.headers["cache-control"], answer.headers["x-accel-buffering"])
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert set(last.data) == set(first.data)
    assert {"id", "model", "status", "progress", "elapsed", "remaining", "final", "images", "error"} == set(
        last.data
    )
    assert (False, True) == (first.data["final"], last.data["final"])
    assert 2 == len(last.data["images"])
    assert {"url", "content_type"} == set(last.data["images"][0])


async def test_a_failure_as_an_event(emulator, client):
    """A task that fails ends its stream with a final event that has the reason."""
    emulator.add_fault(Fault.fails(code="content_policy_violation", message="no\nfoxes"))
    path = await submitted(client)
    (*_, last) = (await client.get(f"{path}/events")).events

    assert ("final", "failed") == (last.kind, last.data["status"])
    assert {"code": "content_policy_violation", "message": "no foxes"} == last.data["error"]


async def test_heartbeats():
    """Without news of a task, a comment is sent every 15 seconds, and the first at once."""
    async with Emulator(seconds=300) as emulator, Client(make_app(emulator)) as client:
        path = await submitted(client)
        began = now()
        answer = await client.get(f"{path}/events")
        moments = [moment for moment, chunk in answer.chunks if chunk]

    assert b": ping\n\n" == answer.chunks[0][1]
    assert began == pytest.approx(moments[0], abs=0.1)
    assert any(chunk == b": ping\n\n" for _, chunk in answer.chunks[1:])
    assert HEARTBEAT_SECONDS + 0.1 > max(b - a for a, b in itertools.pairwise(moments))


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_a_client_that_disconnects(emulator, spec):
    """Its own stream ends and nothing else: the other readers, and the task itself, continue to the end."""
    async with Client(make_app(emulator), spec) as client:
        path = await submitted(client)
        leaver, stayer = client.start("GET", f"{path}/events"), client.start("GET", f"{path}/events")
        await leaver.until(1)
        leaver.leave()
        await asyncio.wait([leaver.finished])
        assert not leaver.answer.done
        assert leaver.finished.exception() is None or spec == "2.4"
        await stayer.finished

        assert "final" == stayer.answer.events[-1].kind
        assert () == client.fox.unfinished


async def test_the_last_reader_of_a_foreign_task_ends_its_polls(emulator):
    """If only one reader follows a task, the polls end when the reader has gone."""
    async with session_at(emulator) as other, Client(make_app(emulator)) as client:
        task = await other.submit(fox_request())
        task.stop()
        reader = client.start("GET", f"/images/{task.id}/events")
        await reader.until(1)
        reader.leave()
        await reader.finished
        asked = len(polls(emulator))
        await asyncio.sleep(60)

        assert asked == len(polls(emulator))


async def first_event(client, url, **headers):
    """The first event that a reader gets; then the reader goes away."""
    request = client.start("GET", url, headers=headers)
    (event, *_) = await request.until(1)
    request.leave()
    return event


async def test_a_returning_reader_gets_the_next_state():
    """The same state has the same id at every replica; a reader that returns with it gets only the next state."""
    async with (
        Emulator(seconds=200, progress="steps") as emulator,
        Client(make_app(emulator)) as here,
        Client(make_app(emulator)) as there,
    ):
        url = f"{await submitted(here)}/events"
        keepers = [replica.start("GET", url) for replica in (here, there)]
        await asyncio.sleep(195)
        reported, elsewhere = await first_event(here, url), await first_event(there, url)
        following = await first_event(there, url, **{"last-event-id": reported.id})
        shown = [keeper.answer.events[-1].data["elapsed"] for keeper in keepers]

    assert reported.id == elsewhere.id
    assert reported.data["progress"] > 0
    assert elsewhere.data["elapsed"] < following.data["elapsed"]
    assert following.data["elapsed"] == shown[1]


async def test_after_the_final_event(emulator, client):
    """A reader that has seen the final event gets 204, and the service is not polled."""
    path = await submitted(client)
    (*_, last) = (await client.get(f"{path}/events")).events
    asked = len(emulator.requests)
    answer = await client.get(f"{path}/events", last_event_id=last.id)

    assert (204, "") == (answer.status, answer.text)
    assert asked == len(emulator.requests)


async def test_an_unknown_id_as_events(client):
    """An id that the service does not know ends the stream with the error, and a browser does not reconnect."""
    answer = await client.get("/images/nope/events")
    (event,) = answer.events

    assert ("failed", "not_found", "nope") == (
        event.kind,
        event.data["error"]["type"],
        event.data["error"]["id"],
    )
    assert 204 == (await client.get("/images/nope/events", last_event_id=event.id)).status


async def stop(handle):
    handle.stop()


async def leave(handle):
    await asyncio.sleep(60)


@pytest.mark.parametrize("end", [stop, leave])
async def test_a_handle_that_ends_without_the_task(emulator, end):
    """If a handle is stopped or its time is over, the stream ends with an error that lets the browser reconnect."""
    async with Client(
        Starlette(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))
    ) as client:
        emulator.add_fault(Fault.never_finishes())
        handle = await client.fox.submit(fox_request(), timeout=50)
        app = Starlette(routes=[Route("/", lambda _: event_response(handle))])
        request = Client(app).start("GET", "/")
        await request.until(1)
        await end(handle)
        await request.finished

    last = request.answer.events[-1]
    assert ("failed", "not_ready", "") == (last.kind, last.data["error"]["type"], last.id)
    assert handle.id == last.data["error"]["id"]


async def test_events_of_a_submit_that_was_not_awaited(emulator, caplog):
    """The client gets 500, and the log says what to write. Nothing is sent."""
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))
    add_error_handlers(app)

    @app.get("/")
    async def draw(fox: Fox):
        with contextlib.closing(fox.submit(fox_request())) as forgotten:
            return event_response(forgotten)

    async with Client(app) as client:
        answer = await client.get("/")

    assert (500, "internal", 0) == (answer.status, answer.error["type"], emulator.billed)
    (text,) = logged(caplog, logging.ERROR)
    assert "got a coroutine: give a TaskHandle, as in event_response(await fox.submit(request))" in text


async def test_a_stream_when_the_session_is_closed(emulator):
    """Closing the session ends open streams with an error that lets the browser reconnect."""
    async with Client(make_app(emulator)) as client:
        request = client.start("GET", f"{await submitted(client)}/events")
        await request.until(1)
    await request.finished

    assert "failed" == request.answer.events[-1].kind


# A signal to the server.


@pytest.fixture
def reported():
    """The signals that the server's own handlers got."""
    numbers = []
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in former:
        signal.signal(number, lambda number, _: numbers.append(number))
    yield numbers
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_streams_end_when_the_server_gets_a_stop_signal(emulator, reported, number):
    """A signal ends streams without a further event and waits with 504, at once, and still reaches the server."""
    async with Client(make_app(emulator)) as client:
        path = await submitted(client)
        stream, waiting = (client.start("GET", f"{path}/{what}") for what in ("events", "result?wait=300"))
        await stream.until(1)
        when = now()
        signal.raise_signal(number)
        await asyncio.wait([stream.finished, waiting.finished])

        assert when == pytest.approx(now(), abs=0.1)
        assert [number] == reported
        assert stream.answer.done
        assert {"progress"} == {event.kind for event in stream.answer.events}
        assert (504, path.rpartition("/")[2]) == (waiting.answer.status, waiting.answer.error["id"])


async def test_handlers_are_given_back(emulator, reported):
    """After the app, the former signal handlers are back, unless others were set meanwhile."""
    before = signal.getsignal(signal.SIGTERM)
    mine = lambda *_: None  # noqa: E731
    async with Client(make_app(emulator)):
        assert before is not signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGINT, mine)

    assert before is signal.getsignal(signal.SIGTERM)
    assert mine is signal.getsignal(signal.SIGINT)


async def test_a_signal_without_a_handler(emulator, reported):
    """If the system's default handling is active, it stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    async with Client(make_app(emulator)):
        assert signal.SIG_IGN is signal.getsignal(signal.SIGTERM)


# The routes.


def test_a_router_needs_a_decision_about_its_users():
    """A router cannot be made without a decision about who may use it."""
    with pytest.raises(TypeError, match="dependencies"):
        image_router()
    with pytest.raises(TypeError):
        image_router([])


def nobody():
    raise HTTPException(401, "who are you?")


async def test_a_client_that_leaves_while_it_sends_the_body(emulator):
    """Nothing is sent to the service, and no error is raised, because no client waits for an answer."""
    app, sent = make_app(emulator), []
    pieces = [{"type": "http.request", "body": b'{"model"', "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/images",
        "raw_path": b"/images",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def receive():
        return pieces.pop(0)

    async def send(message):
        sent.append(message.get("status"))

    async with app.router.lifespan_context(app) as state:
        await app({**scope, "state": state}, receive, send)

    assert 499 == sent[0]
    assert [] == posts(emulator)


async def test_dependencies_come_first(emulator):
    """Every route runs them before it reads the body, and before the service gets a request."""
    async with Client(make_app(emulator, [Depends(nobody)])) as client:
        answers = [
            await client.post("/images", b"no json"),
            await client.get("/images/task-1"),
            await client.get("/images/task-1/events"),
            await client.get("/images/task-1/result"),
            await client.get("/images/task-1/files/1"),
        ]

    assert [401] * 5 == [answer.status for answer in answers]
    assert [] == emulator.requests


async def test_submitting(emulator, client):
    """A submit is answered with the id and the task's address; the task continues without a reader."""
    answer = await client.post("/images", A_FOX)
    assert (202, {"id"}) == (answer.status, set(answer.json))
    assert f"/images/{answer.json['id']}" == answer.headers["location"]
    assert 1 == emulator.billed
    await asyncio.sleep(60)

    assert () == client.fox.unfinished


async def test_a_submit_of_ones_own(emulator):
    """A dependency sends in place of the session: it gets the checked request, and its parameters are documented."""
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))
    kept = []

    def recorded(fox: Fox, user: str):
        async def submit(request):
            handle = await fox.submit(request)
            kept.append((user, request.prompt, handle.id))
            return handle

        return submit

    app.include_router(image_router(dependencies=[], submit=Depends(recorded)))
    async with Client(app) as client:
        refused = await client.post("/images?user=ann", {**A_FOX, "num_outputs": 9})
        sent = await client.post("/images?user=ann", A_FOX)
        post = (await client.get("/openapi.json")).json["paths"]["/images"]["post"]

    assert [("ann", A_FOX["prompt"], sent.json["id"])] == kept
    assert (422, 202, 1) == (refused.status, sent.status, emulator.billed)
    assert f"/images/{sent.json['id']}" == sent.headers["location"]
    assert (["user"], True) == ([each["name"] for each in post["parameters"]], "requestBody" in post)


async def test_a_submit_that_only_knows_the_id(emulator):
    """The router reads nothing but the id of what a submit of one's own returns."""
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))

    async def known(_):
        return types.SimpleNamespace(id="task-7")

    app.include_router(image_router(dependencies=[], submit=Depends(lambda: known)))
    async with Client(app) as client:
        sent = await client.post("/images", A_FOX)

    assert (202, {"id": "task-7"}, "/images/task-7") == (sent.status, sent.json, sent.headers["location"])


def test_a_submit_without_depends():
    """A dependency that is not in `Depends` is refused at once, with the fix."""
    with pytest.raises(_errors.ConfigurationError, match=r"give submit=Depends\(your_dependency\)"):
        image_router(dependencies=[], submit=lambda: None)


async def test_the_state_of_a_task(client):
    """The state is the service's at this moment: first without images, then with them."""
    path = await submitted(client)
    before = (await client.get(path)).json
    await asyncio.sleep(60)
    after = (await client.get(path)).json

    keys = {"id", "model", "status", "progress", "created", "finished", "images", "error"}
    assert (keys, keys) == (set(before), set(after))
    assert (False, [], True, 1) == (
        before["finished"],
        before["images"],
        after["finished"],
        len(after["images"]),
    )


async def test_the_route_waits_for_the_result(client):
    """The route waits for the result, or returns it at once if it is there."""
    path = await submitted(client)
    first = await client.get(f"{path}/result")
    when = now()
    second = await client.get(f"{path}/result?wait=0")

    assert {"id", "model", "images", "values", "elapsed", "usage"} == set(first.json)
    assert first.json["images"] == second.json["images"]
    assert when == pytest.approx(now(), abs=0.5)


@pytest.mark.parametrize("seconds", [0, 3])
async def test_a_result_that_is_not_ready(client, seconds):
    """A wait that times out is 504 with the id, and the task continues."""
    path = await submitted(client)
    when = now()
    answer = await client.get(f"{path}/result?wait={seconds}")

    assert (504, path.rpartition("/")[2]) == (answer.status, answer.error["id"])
    assert seconds == pytest.approx(now() - when, abs=0.1)
    assert 200 == (await client.get(f"{path}/result")).status


async def test_a_result_of_another_replica_at_once(emulator):
    """A wait of no seconds still polls once, also for a task that is new to this replica."""
    async with Client(make_app(emulator)) as here, Client(make_app(emulator)) as there:
        path = await submitted(here)
        await here.get(f"{path}/result")

        assert 200 == (await there.get(f"{path}/result?wait=0")).status


async def test_a_wait_ends_if_the_first_poll_keeps_failing(emulator, client):
    """If the first poll of a task keeps failing, even the shortest wait ends after ten seconds."""
    async with session_at(emulator) as other:
        task = await other.submit(fox_request())
        task.stop()
    emulator.add_fault(Fault.hang("poll", times=None))
    answer = await client.get(f"/images/{task.id}/result?wait=0")

    assert (504, task.id) == (answer.status, answer.error["id"])
    assert 11 > now()


async def test_a_result_that_failed(emulator, client):
    """A task that failed is 502 with its code."""
    emulator.add_fault(Fault.fails(code="content_policy_violation"))
    answer = await client.get(f"{await submitted(client)}/result")

    assert (502, "task_failed") == (answer.status, answer.error["type"])
    assert "content_policy_violation" == answer.error["code"]


async def test_a_client_that_waits_no_more(emulator):
    """If a client goes away while it waits for a result, its task is polled no more."""
    async with session_at(emulator) as other, Client(make_app(emulator)) as client:
        emulator.add_fault(Fault.never_finishes())
        task = await other.submit(fox_request())
        task.stop()
        request = client.start("GET", f"/images/{task.id}/result?wait=300")
        await asyncio.sleep(5)
        request.leave()
        await request.finished
        asked = len(polls(emulator))
        await asyncio.sleep(60)

        assert asked == len(polls(emulator))


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "soon"])
async def test_a_wait_that_is_invalid(emulator, client, wait):
    """A wait outside 0 to 300 seconds is 422 with the problem, in the form of every error."""
    answer = await client.get(f"/images/task-1/result?wait={wait}")

    assert (422, "invalid_request") == (answer.status, answer.error["type"])
    assert answer.error["problems"][0].startswith("wait: ")
    assert [] == emulator.requests


@pytest.mark.parametrize("task_id", ["..", ".", "a?b", "a%b", "a\nb", "a\\b", " ", "x" * 600])
@pytest.mark.parametrize("what", ["", "/events", "/result", "/files/1"])
async def test_what_cannot_be_an_id(emulator, client, task_id, what):
    """An invalid id is 422, and the service gets no request."""
    answer = await client.ask("GET", "/", path=f"/images/{task_id}{what}")

    assert (422, "invalid_request") == (answer.status, answer.error["type"])
    assert [] == emulator.requests


@pytest.mark.parametrize("what", ["", "/result", "/files/1"])
async def test_an_id_that_is_unknown(client, what):
    """An id that the service does not know is 404."""
    answer = await client.get(f"/images/nope{what}")

    assert (404, "not_found", "nope") == (answer.status, answer.error["type"], answer.error["id"])


DEEP = b"[" * 100_000

BODIES = [
    (b"", "application/json", "not a JSON object"),
    (b"[]", "application/json", "not a JSON object"),
    (b"null", "application/json", "not a JSON object"),
    (b"{", "application/json", "not a JSON object"),
    (b"\xff\xfe", "application/json", "not a JSON object"),
    (b'{"model": NaN}', "application/json", "not a JSON object"),
    (DEEP, "application/json", "not a JSON object"),
    (b'{"a":' * 500 + b"1" + b"}" * 500, "application/json", "model: missing"),
    (
        b'{"model": "z-image-turbo", "prompt": "x", "n": ' + b"[" * 300 + b"]" * 300 + b"}",
        "application/json",
        "nested too deeply",
    ),
    (b'{"model": "x", "n": [' + b"1," * MAX_COMMAS + b"1]}", "application/json", "too many values"),
    (b"{}", "application/json; charset=utf-8", "model: missing"),
    (b'{"model": "grok-imagine-image"}', "application/json", "prompt: missing"),
    (b"{}", "text/plain", "Content-Type: application/json"),
    (b"a=b", "application/x-www-form-urlencoded", "Content-Type: application/json"),
]


@pytest.mark.parametrize(("body", "kind", "words"), BODIES, ids=[row[2] for row in BODIES])
async def test_a_body_that_is_no_request(emulator, client, body, kind, words):
    """An invalid request is 422 in words, and the service gets no request."""
    answer = await client.post("/images", body, headers={"content-type": kind})

    assert (422, "invalid_request") == (answer.status, answer.error["type"])
    assert words in answer.error["problems"][0]
    assert [] == emulator.requests


async def test_an_endless_body(emulator, client):
    """A body is read up to its limit and no further."""
    piece = b" " * 65536
    headers = {"content-type": "application/json"}
    endless = (piece for _ in iter(int, 1))
    answer = await client.ask("POST", "/images", pieces=endless, headers=headers)

    assert (413, "too_large") == (answer.status, answer.error["type"])
    assert MAX_BODY_BYTES + len(piece) >= client.read
    assert [] == emulator.requests


@pytest.mark.parametrize("address", ["{path}", "file://{path}"])
@pytest.mark.parametrize("more", [{}, {"path": "/v1/images/generations"}, {"model": "new-model"}])
async def test_no_body_has_a_local_file_read(emulator, client, tmp_path, monkeypatch, address, more):
    """A string in `image_urls` is never a path: no file of this machine is opened, stored or sent."""
    secret = tmp_path / "secret.png"
    secret.write_text("secret")
    opened = []
    monkeypatch.setattr(Path, "open", lambda *args, **_: opened.append(args))
    monkeypatch.setattr(Path, "stat", lambda *args, **_: opened.append(args))
    await client.post("/images", {**A_FOX, "image_urls": [address.format(path=secret)], **more})

    assert [] == opened
    assert [] == [record for record in emulator.requests if "/files/" in record.path]


async def test_what_the_service_refuses(emulator, client):
    """A refusal of the request is passed on, one of our account is not; and neither has the key."""
    emulator.add_fault(Fault.status("submit", 422, code="bad_size", message=f"no such size, {emulator.key}"))
    emulator.add_fault(Fault.status("submit", 402, message="balance 0.03"))
    refused, broke = [await client.post("/images", A_FOX) for _ in range(2)]

    assert (422, "refused", "bad_size") == (refused.status, refused.error["type"], refused.error["code"])
    assert refused.error["message"].startswith("no such size")
    assert emulator.key not in refused.text
    assert (503, "unavailable") == (broke.status, broke.error["type"])
    assert "balance" not in broke.text


@pytest.mark.parametrize("fault", [Fault.status, Fault.quota])
async def test_a_refused_account(emulator, client, fault):
    """A submit may be repeated after 30 seconds, when the session tries the account again; a read is not tried again."""
    path = await submitted(client)
    for request in ("poll", "submit"):
        emulator.add_fault(fault(request, 403 if fault == Fault.quota else 401, times=None))
    read, sent = await client.get(path), await client.post("/images", A_FOX)

    assert (503, None) == (read.status, read.headers.get("retry-after"))
    assert (503, "30") == (sent.status, sent.headers.get("retry-after"))


async def test_an_uncertain_submit_is_sent_once(emulator, client):
    """A submit that may be billed is sent once, answered with 502, without a Retry-After."""
    emulator.add_fault(Fault.cut_after("submit"))
    answer = await client.post("/images", A_FOX)

    assert (502, "uncertain_submit") == (answer.status, answer.error["type"])
    assert "retry-after" not in answer.headers
    assert (1, 1) == (emulator.billed, len(posts(emulator)))


async def polls_of_ten_tasks(readers):
    """How many polls the service gets, with this many readers for each task."""
    random.seed(1)
    async with Emulator(seconds=20) as emulator, Client(make_app(emulator)) as client:
        paths = [await submitted(client) for _ in range(10)]
        streams = [client.start("GET", f"{path}/events") for path in paths for _ in range(readers)]
        await asyncio.sleep(100)
        assert all(stream.finished.done() for stream in streams)
        assert all(stream.answer.events[-1].kind == "final" for stream in streams)
        return len(polls(emulator))


@pytest.mark.thorough
async def test_readers_need_no_polls_of_their_own():
    """Ten tasks need as many polls with eighty readers as with none."""
    assert await polls_of_ten_tasks(readers=0) == await polls_of_ten_tasks(readers=8)


async def test_the_documentation_of_the_routes(client):
    """The app's OpenAPI document has the routes, with their bodies and errors."""
    paths = (await client.get("/openapi.json")).json["paths"]
    statuses = {path: set(next(iter(methods.values()))["responses"]) for path, methods in paths.items()}

    assert {
        "/images": {"202", "400", "413", "422", "429", "500", "502", "503", "507"},
        "/images/{task_id}": {"200", "404", "422", "429", "500", "502", "503"},
        "/images/{task_id}/events": {"200", "204", "422", "500"},
        "/images/{task_id}/result": {"200", "404", "422", "500", "502", "503", "504"},
        "/images/{task_id}/files/{n}": {"200", "206", "404", "416", "422", "500", "502", "503", "504"},
    } == statuses
    assert "application/json" in paths["/images"]["post"]["requestBody"]["content"]
    events = paths["/images/{task_id}/events"]["get"]["responses"]
    assert ["text/event-stream"] == list(events["200"]["content"])
    assert ["progress", "final", "failed"] == events["200"]["content"]["text/event-stream"]["itemSchema"][
        "properties"
    ]["event"]["enum"]
    assert ["application/json"] == list(events["422"]["content"])


async def test_ids_that_were_only_read_are_not_kept(emulator, caplog):
    """Ids that were only read, known to the service or not, are neither kept in `unfinished` nor logged as billed."""
    async with session_at(emulator) as other, Client(make_app(emulator)) as client:
        task = await other.submit(fox_request())
        task.stop()
        await client.get("/images/nope/events")
        await client.get("/images/nope/result")
        await client.get(f"/images/{task.id}/result?wait=1")
        stream = client.start("GET", f"/images/{task.id}/events")
        await stream.until(1)
        assert () == client.fox.unfinished
        stream.leave()
        await stream.finished
        assert () == client.fox.unfinished
    assert [] == [record for record in caplog.records if "nope" in record.getMessage()]


# Starlette, aiohttp, and the README.


async def test_starlette(emulator):
    """In Starlette the session is in `request.state`, and a mounted FastAPI app has the routes."""

    async def draw(request):
        return event_response(await request.state.fox.submit(fox_request()))

    async def look(request):
        return JSONResponse({"id": (await request.state.fox.fetch("nope")).id})

    api = FastAPI()
    api.include_router(image_router(dependencies=[]))
    app = Starlette(
        lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url),
        routes=[Route("/draw", draw), Route("/look", look), Mount("/api", api)],
    )
    add_error_handlers(app)
    async with Client(app) as client:
        drawn, looked = await client.get("/draw"), await client.get("/look")
        sent = await client.post("/api/images", A_FOX)
        followed = await client.get(f"{sent.headers['location']}/events")

    assert "final" == drawn.events[-1].kind
    assert (404, "not_found") == (looked.status, looked.error["type"])
    assert f"/api/images/{sent.json['id']}" == sent.headers["location"]
    assert "final" == followed.events[-1].kind


def test_the_small_app_of_the_readme(foxapi_emulator):
    """The app draws a fox for each request, and answers with its events."""
    from apps.small_app import app

    with TestClient(app) as client:
        answer = client.get("/fox?colour=red")

    assert 1 == foxapi_emulator.billed
    assert "final" == events_in(answer.text)[-1].kind


def test_the_app_for_the_readme(foxapi_emulator, monkeypatch):
    """The complete app serves every client that has the token, from the submit to the image, and no other."""
    from apps.readme_app import app

    monkeypatch.setenv("APP_TOKEN", "fox")
    with TestClient(app) as client:
        assert 401 == client.post("/images", json=A_FOX).status_code
        assert 0 == foxapi_emulator.billed
        client.headers["token"] = "fox"
        sent = client.post("/images", json=A_FOX)
        result = client.get(f"{sent.headers['location']}/result")
        drawn = events_in(client.get("/fox", params={"colour": "red"}).text)

    assert result.json()["images"][0]["url"].startswith("http")
    assert "final" == drawn[-1].kind
    assert 2 == foxapi_emulator.billed


@contextlib.asynccontextmanager
async def aiohttp_recipe(emulator, monkeypatch):
    """A client of the recipe for aiohttp.web."""
    from aiohttp.test_utils import TestClient as AiohttpClient
    from aiohttp.test_utils import TestServer
    from apps import aiohttp_app

    monkeypatch.setenv("FOXAPI_API_KEY", emulator.key)
    monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url)
    monkeypatch.setenv("APP_TOKEN", "a-long-secret")
    app = importlib.reload(aiohttp_app).app  # an app serves one loop
    async with AiohttpClient(TestServer(app), headers={"Authorization": "Bearer a-long-secret"}) as client:
        yield client


async def test_the_recipe_for_aiohttp(emulator, monkeypatch):
    """With aiohttp.web the session is a cleanup context, and a task is followed by its id."""
    async with aiohttp_recipe(emulator, monkeypatch) as client:
        sent = await (await client.post("/images", json=A_FOX)).json()
        await asyncio.sleep(60)
        state = await (await client.get(f"/images/{sent['id']}")).json()

    assert ("completed", 1) == (state["status"], len(state["images"]))


@pytest.mark.parametrize("token", ["", "Bearer fox", "Bearer füchse"])
async def test_the_recipe_for_aiohttp_needs_a_token(emulator, monkeypatch, token):
    """Without the token of the app, nothing is sent."""
    async with aiohttp_recipe(emulator, monkeypatch) as client:
        answer = await client.post("/images", json=A_FOX, headers={"Authorization": token})

    assert (401, 0) == (answer.status, emulator.billed)


async def test_the_recipe_for_aiohttp_takes_a_photo(emulator, monkeypatch):
    """A body of three MiB, with a photo as a data: URL, is sent."""
    photo = f"data:image/jpeg;base64,{base64.b64encode(bytes(2 * 2**20 + 2**18)).decode()}"
    async with aiohttp_recipe(emulator, monkeypatch) as client:
        body = io.BytesIO(json.dumps({**A_FOX, "image_urls": [photo]}).encode())
        answer = await client.post("/images", data=body)

        assert (202, 1) == (answer.status, emulator.billed)


@pytest.mark.parametrize(
    "body",
    [{**A_FOX, "model": "sora-2"}, {**A_FOX, "model": []}, {**A_FOX, "path": "/v1/videos"}, ["fox"], {}],
)
async def test_the_recipe_for_aiohttp_decides_the_cost(emulator, monkeypatch, body):
    """A client can choose only among the models of the app, and no path."""
    async with aiohttp_recipe(emulator, monkeypatch) as client:
        answer = await client.post("/images", json=body)

        assert (422, []) == (answer.status, posts(emulator))
        assert "give one of the models grok-imagine-image, gpt-image-2, and no path" in await answer.text()


@pytest.mark.parametrize(
    ("faults", "path", "body", "status", "words"),
    [
        ((), "/images", json.dumps({**A_FOX, "num_outputs": 9}).encode(), 422, "num_outputs=9"),
        ((), "/images", b"fox", 422, "the body is not JSON"),
        ((), "/images/unknown", None, 404, "There is no such task."),
        ((Fault.invalid_url("submit"),), "/images", json.dumps(A_FOX).encode(), 422, "The service refuses"),
        ((Fault.status("submit", 400),), "/images", json.dumps(A_FOX).encode(), 422, "The service refuses"),
        ((Fault.quota(times=None),), "/images", json.dumps(A_FOX).encode(), 503, "cannot be made"),
        ((Fault.cut_after("submit"),), "/images", json.dumps(A_FOX).encode(), 502, "may be billed"),
    ],
)
async def test_the_recipe_for_aiohttp_answers_errors(faults, path, body, status, words, monkeypatch):
    """The client learns what it can correct, and nothing about the account."""
    async with (
        Emulator(seconds=20, faults=list(faults)) as emulator,
        aiohttp_recipe(emulator, monkeypatch) as client,
    ):
        answer = await (client.get(path) if body is None else client.post(path, data=body))
        text = await answer.text()

    assert (status, True) == (answer.status, words in text)
    assert "quota" not in text
