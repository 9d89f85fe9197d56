"""Every JSON that leaves the package is strict: a program in another language can read it."""

from __future__ import annotations

import json
import math

import pytest
from apps.asgi import Client
from fastapi import FastAPI
from shell import point_to

from foxapi_async.cli import main
from foxapi_async.emulator import Fault, ThreadedEmulator
from foxapi_async.fastapi import fox_lifespan, image_router

ODD = Fault.completes_with(
    {"usage": {"credits_reserved": math.nan, "more": [math.inf, 1.5]}, "progress": -math.inf}
)


def strict(text):
    """A JSON value without NaN and Infinity."""

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A service whose completed tasks have numbers that are none; the environment points to it."""
    monkeypatch.chdir(tmp_path)
    with ThreadedEmulator(seconds=0.1, faults=[ODD]) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


def test_the_output_of_generate(service, capfd):
    """A number that is none is null."""
    assert 0 == main(["generate", "a fox", "--json"])
    (line,) = capfd.readouterr().out.splitlines()

    assert {"credits_reserved": None, "more": [None, 1.5]} == strict(line)["usage"]


def test_the_output_and_the_manifest_of_a_batch(service, capfd, tmp_path):
    """The lines of both are the same, and strict."""
    (tmp_path / "p.jsonl").write_text('{"model": "grok-imagine-image", "prompt": "a fox"}\n')
    assert 0 == main(["batch", "p.jsonl", "--json"])
    (shown,) = capfd.readouterr().out.splitlines()
    (line,) = (tmp_path / "out/manifest.jsonl").read_text().splitlines()

    assert strict(shown) == strict(line)
    assert [None, 1.5] == strict(line)["usage"]["more"]


def test_the_status_of_a_task_and_of_a_batch(service, capfd, tmp_path):
    """Both print strict JSON."""
    (tmp_path / "p.jsonl").write_text('{"model": "grok-imagine-image", "prompt": "a fox"}\n')
    main(["batch", "p.jsonl", "--json"])
    task_id = strict(capfd.readouterr().out)["task_id"]
    for name in (task_id, "out"):
        assert 0 == main(["status", name, "--json"])
        assert strict(capfd.readouterr().out)


@pytest.mark.virtual
async def test_the_answers_and_events_of_a_router(emulator):
    """The state of a task, and each event, are strict JSON."""
    emulator.add_fault(ODD)
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url))
    app.include_router(image_router(dependencies=()))
    async with Client(app) as client:
        posted = await client.post("/images", {"model": "grok-imagine-image", "prompt": "a fox"})
        path = f"/images/{posted.json['id']}"
        events = await client.get(f"{path}/events")
        state = await client.get(path)
    data = [line.removeprefix("data: ") for line in events.text.splitlines() if line.startswith("data: ")]

    assert "completed" == strict(state.text)["status"]
    assert strict(data[-1])["final"]
    assert [] == [one for one in data if not strict(one)]
