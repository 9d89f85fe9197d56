"""Schemathesis makes requests from the app's OpenAPI document, and compares the answers with it."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from apps.served import serving

from foxapi_async.emulator import ThreadedEmulator, _images

pytest.importorskip("schemathesis", reason="schemathesis is not installed (nox -s schemathesis)")

FOLDER = Path(__file__).parent
OPTIONS = "--checks=all --generation-deterministic --workers=8 --request-timeout=30"
# Bounded in time: an id that is not known takes two seconds, because the service may know it a moment later.
ALL = "--phases=examples,coverage,fuzzing,stateful --max-examples=10 --max-time=60"
SUBMITS = "--phases=coverage --include-method=POST"


def run(document, options, folder):
    """Schemathesis as a command, with the options of these tests."""
    return subprocess.run(
        [
            f"{Path(sys.executable).parent}/schemathesis",
            f"--config-file={FOLDER}/schemathesis.toml",
            "run",
            document,
            *f"{OPTIONS} {options}".split(),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(FOLDER)},
        cwd=folder,  # it leaves its memory there
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize(
    ("app", "options", "status"), [("live_app", ALL, 0), ("undocumented_app", SUBMITS, 1)]
)
async def test_no_answer_is_undocumented(app, options, status, monkeypatch, tmp_path):
    """No answer is undocumented or a server's error, what the schema allows is accepted, and what it forbids is not.

    An app whose document promises too much fails.
    """
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode())
    with ThreadedEmulator(seconds=0.05) as service:
        async with serving(service, app, patience=300) as server:
            # In a thread: the test's loop may have work to do.
            done = await asyncio.to_thread(run, f"{server.url}/openapi.json", options, tmp_path)

    assert status == done.returncode, done.stdout + done.stderr
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 50, done.stdout
