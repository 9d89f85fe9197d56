"""The app of docs/fastapi.md for several users: whose a task is, and files that stay."""

import asyncio
import sqlite3
import time

import aiohttp
import pytest
from helpers import let_end
from pages import BLOCKS

from foxapi_async import GrokImagineImage
from foxapi_async.emulator import Fault, ThreadedEmulator

pytest.importorskip("fastapi.sse", reason="needs the extra fastapi")
pytest.importorskip("uvicorn", reason="needs uvicorn")

from apps import users_app
from apps.served import PATIENCE, TESTS, serving
from fastapi.testclient import TestClient

USERS = "ann:ann-secret bob:bob-secret"
ANN, BOB = ({"authorization": f"Bearer {name}-secret"} for name in ("ann", "bob"))
A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}


@pytest.fixture
def app(foxapi_emulator, monkeypatch, tmp_path):
    """The app, with a folder of its own."""
    monkeypatch.setenv("APP_USERS", USERS)
    monkeypatch.setattr(users_app, "DATA", tmp_path)
    return users_app.app


@pytest.fixture
def client(app):
    with TestClient(app, headers=ANN) as client:
        yield client


def draw(client, key="one", **fields):
    return client.post("/images", json={**A_FOX, **fields}, headers={"idempotency-key": key})


def states_of(folder):
    """The states of all rows."""
    with sqlite3.connect(folder / "app.sqlite") as connection:
        rows = [state for (state,) in connection.execute("select state from images order by id")]
    connection.close()
    return rows


def end_leases(folder):
    """Let the leases of all replicas end, as if they had been silent for long."""
    with sqlite3.connect(folder / "app.sqlite", timeout=PATIENCE) as connection:
        connection.execute("update images set leased = 1")
    connection.close()


def until(folder, *states):
    """Wait for these states of the rows."""
    latest = time.monotonic() + PATIENCE
    while (found := states_of(folder)) != [*states]:
        assert time.monotonic() < latest, found
        time.sleep(0.02)


def until_true(fact):
    """Wait until the fact is true."""
    latest = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < latest
        time.sleep(0.02)


@pytest.fixture
def locked(monkeypatch):
    """The database refuses the ids of tasks while this set has a word."""
    words = {"task_id = ?, leased = 0"}
    run_now = users_app.run_now

    def run_or_fail(statement, *values):
        if any(word in statement for word in words):
            raise sqlite3.OperationalError("database or disk is full")
        return run_now(statement, *values)

    monkeypatch.setattr(users_app, "run_now", run_or_fail)
    return words


def downloads(service):
    """How often each file was fetched."""
    paths = [record.path for record in service.requests if record.path.endswith(".jpg")]
    return {path: paths.count(path) for path in paths}


def test_the_app_is_that_of_the_docs():
    """The docs show the app that these tests run."""
    assert (TESTS / "apps/users_app.py").read_text() in [
        text for name, _, text in BLOCKS if name == "fastapi.md"
    ]


def test_only_its_owner_sees_a_task(client, tmp_path):
    """For another user, each route answers as for an id that does not exist; without a token each refuses."""
    path = draw(client).headers["location"]
    until(tmp_path, "kept")
    paths = [f"{path}{more}" for more in ("", "/events", "/result", "/files/1", "/kept/1")]

    assert [200] * 5 == [client.get(each).status_code for each in paths]
    assert [404] * 5 == [client.get(each, headers=BOB).status_code for each in paths]
    assert client.get(path, headers=BOB).json() == client.get("/images/nope", headers=BOB).json()
    assert (1, 0) == tuple(len(client.get("/images", headers=user).json()) for user in (ANN, BOB))
    del client.headers["authorization"]
    assert [401] * 6 == [client.get(each).status_code for each in [*paths, "/images"]]


def test_without_a_token_nothing_is_billed(app, foxapi_emulator):
    """A client that is no user cannot submit."""
    with TestClient(app) as client:
        assert 401 == draw(client).status_code
    assert 0 == foxapi_emulator.billed


def test_a_kept_file_is_served_after_a_restart(app, client, foxapi_emulator, tmp_path):
    """The file is there although the app has started again, and the service no longer has it."""
    path = draw(client).headers["location"]
    until(tmp_path, "kept")
    before = client.get(f"{path}/files/1").content
    foxapi_emulator.add_fault(Fault.status("file", 404, times=None))
    with TestClient(app, headers=ANN) as again:
        kept, missing = again.get(f"{path}/kept/1"), again.get(f"{path}/kept/2")
        gone = again.get(f"{path}/files/1")

    assert (200, "image/jpeg", before) == (kept.status_code, kept.headers["content-type"], kept.content)
    assert (404, 502) == (missing.status_code, gone.status_code)


def test_a_file_that_cannot_be_fetched_is_tried_again(client, foxapi_emulator, tmp_path, caplog):
    """After the lease, the file is fetched once more."""
    foxapi_emulator.add_fault(Fault.status("file", 404))
    draw(client)
    until_true(lambda: "not kept yet" in caplog.text)
    end_leases(tmp_path)
    until(tmp_path, "kept")

    assert 1 == foxapi_emulator.billed


def test_a_task_that_fails(client, foxapi_emulator, tmp_path):
    """Its row says so, and it has no file."""
    foxapi_emulator.add_fault(Fault.fails())
    path = draw(client).headers["location"]
    until(tmp_path, "failed")

    assert 404 == client.get(f"{path}/kept/1").status_code


def test_a_request_that_is_repeated(client, foxapi_emulator):
    """The same key of the same user gives the same task; that of another user is another request."""
    answers = [
        draw(client),
        draw(client),
        client.post("/images", json=A_FOX, headers={**BOB, "idempotency-key": "one"}),
    ]
    first, second, other = [answer.json()["id"] for answer in answers]

    assert first == second != other
    assert 2 == foxapi_emulator.billed


def test_a_refused_request_leaves_no_row(client, foxapi_emulator, tmp_path):
    """What was certainly not billed may be sent again with the same key."""
    foxapi_emulator.add_fault(Fault.quota("submit", times=None))

    assert 503 == draw(client).status_code
    assert [] == states_of(tmp_path)


def test_an_uncertain_submit_is_not_sent_again(client, foxapi_emulator, tmp_path):
    """The client learns that it may be billed. The row says so too, and the same key sends nothing."""
    foxapi_emulator.add_fault(Fault.cut_after("submit"))
    answers = [draw(client), draw(client)]
    end_leases(tmp_path)
    until(tmp_path, "uncertain")

    assert [502, 409, 409] == [answer.status_code for answer in [*answers, draw(client)]]
    (row,) = client.get("/images").json()
    (task,) = foxapi_emulator.tasks.values()
    assert ("uncertain", task.idempotency_key) == (row["state"], row["sent_key"])
    assert 1 == foxapi_emulator.billed


def test_a_long_prompt(client, foxapi_emulator, tmp_path):
    """A prompt that is longer than the app allows is refused, and neither recorded nor sent."""
    longest = draw(client, prompt="x" * users_app.LONGEST_PROMPT)
    refused = draw(client, "two", prompt="x" * (users_app.LONGEST_PROMPT + 1))

    assert (202, 422) == (longest.status_code, refused.status_code)
    assert ["prompt: 4001 characters; give at most 4000"] == refused.json()["error"]["problems"]
    assert (1, 1) == (foxapi_emulator.billed, len(states_of(tmp_path)))


def test_a_repeated_request_leaves_nothing_open(app, foxapi_emulator, caplog):
    """It reads the id only, so no warning at the end names a task that has ended."""
    with TestClient(app, headers=ANN) as client:
        path = draw(client).headers["location"]
        client.get(f"{path}/result")
        until_true(lambda: client.get("/images").json()[0]["state"] == "kept")
        draw(client)

    assert path.rpartition("/")[2] not in caplog.text


def test_an_id_that_cannot_be_written(client, foxapi_emulator, locked, tmp_path, caplog):
    """The client gets the id, the log has it with its row, and it is written as soon as that is possible. The lease of
    the row is renewed until then, so that no replica calls it uncertain.
    """
    sent = draw(client)
    end_leases(tmp_path)
    until_true(lambda: caplog.text.count("cannot be written to row 1 yet") > 2)
    before = states_of(tmp_path)
    locked.clear()
    until(tmp_path, "kept")

    assert (202, ["submitting"], {}) == (sent.status_code, before, users_app.unrecorded)
    assert f"task {sent.json()['id']} is billed" in caplog.text
    assert 200 == client.get(f"{sent.headers['location']}/kept/1").status_code
    assert [1] == list(downloads(foxapi_emulator).values())
    assert 1 == foxapi_emulator.billed


def test_an_id_that_is_written_at_the_end(app, foxapi_emulator, locked, tmp_path):
    """An id that could not be written before is written when the app stops."""
    with TestClient(app, headers=ANN) as client:
        draw(client)
        locked.clear()

    assert {} == users_app.unrecorded
    assert "submitting" not in states_of(tmp_path)


async def test_a_cancelled_handler_loses_no_id(app, foxapi_emulator, monkeypatch):
    """If a handler is cancelled while it writes the id, the next round writes it."""
    writing = asyncio.Event()
    run = users_app.run

    async def run_until_cancelled(statement, *values):
        if "task_id = ?, leased = 0" in statement and not writing.is_set():
            writing.set()
            await asyncio.Event().wait()
        return await run(statement, *values)

    monkeypatch.setattr(users_app, "run", run_until_cancelled)
    async with users_app.lifespan(app) as state:
        sending = asyncio.create_task(users_app.Recorded("ann", state["fox"], "one")(GrokImagineImage("x")))
        await writing.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await users_app.claimed()
        (row,) = await run("select task_id from images")

    assert sending.cancelled()
    assert [row["task_id"]] == [*foxapi_emulator.tasks]


def test_a_round_that_fails_is_not_the_last(app, foxapi_emulator, monkeypatch, tmp_path, caplog):
    """After an error of any kind the next round keeps the files."""
    claimed = users_app.claimed
    rounds = []

    async def claimed_later():
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("no thread can be started")
        return await claimed()

    monkeypatch.setattr(users_app, "claimed", claimed_later)
    with TestClient(app, headers=ANN) as client:
        draw(client)
        until(tmp_path, "kept")

    assert "no thread can be started" in caplog.text


async def test_an_app_that_ends_with_an_error(app):
    """The sweep ends with the app, also if the app ends with an error."""
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError):
        async with users_app.lifespan(app):
            raise RuntimeError("the port is taken")

    assert before == asyncio.all_tasks()


# In processes of its own.


@pytest.fixture
async def web():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE), headers=ANN) as web:
        yield web


def replica(service, folder):
    return serving(service, "users_app", APP_USERS=USERS, APP_DATA=str(folder))


async def sent(web, server, key="one"):
    """The status of a submit, and its path."""
    async with web.post(f"{server.url}/images", json=A_FOX, headers={"idempotency-key": key}) as answer:
        return answer.status, answer.headers.get("location")


@pytest.mark.thorough
async def test_a_server_that_is_killed_before_the_id_arrives(web, tmp_path):
    """The row stays, and is uncertain after the restart. It is billed once, and not sent again."""
    with ThreadedEmulator(seconds=0.2, faults=[Fault.hang("submit")]) as service:
        async with replica(service, tmp_path) as first:
            waiting = asyncio.create_task(sent(web, first))
            await asyncio.to_thread(until_true, lambda: service.billed)
            first.kill()
            with pytest.raises(aiohttp.ClientError):
                await waiting
        assert ["submitting"] == states_of(tmp_path)
        end_leases(tmp_path)
        async with replica(service, tmp_path) as second:
            await asyncio.to_thread(until, tmp_path, "uncertain")
            assert (409, None) == await sent(web, second)

    assert 1 == service.billed


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["terminate", "kill"])
async def test_another_replica_keeps_the_files_of_one_that_ended(web, tmp_path, way):
    """Two replicas save each file once, also if one of them ends while its tasks run."""
    with ThreadedEmulator(seconds=0.5, faults=[Fault.never_finishes(times=None)]) as service:
        async with replica(service, tmp_path) as first, replica(service, tmp_path) as second:
            for n in range(3):
                for server in (first, second):
                    assert 202 == (await sent(web, server, f"{n} at {server.url}"))[0]
            await asyncio.sleep(1.2)  # each replica has looked for tasks
            getattr(first, way)()
            first.output()
            let_end(service)
            end_leases(tmp_path)
            await asyncio.to_thread(until, tmp_path, *["kept"] * 6)

    assert [1] * 6 == list(downloads(service).values())
    assert 6 == service.billed
