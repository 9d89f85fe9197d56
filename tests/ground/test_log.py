"""The log of the package: each record says by a word what it reports, and the words are documented."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path
from typing import get_args

import foxapi_async
from foxapi_async import FoxSession, _listener

ROOT = Path(foxapi_async.__file__).parent


def test_every_event_is_documented():
    """The table in the documentation has each event once, in order."""
    table = re.findall(r"^(\w+) {2,}\S", _listener.__doc__, re.MULTILINE)

    assert table[0] == "event"
    assert table[1:] == sorted(get_args(_listener.LogEvent))


def test_every_record_has_an_event():
    """Each call that logs names its event."""
    calls = [
        ast.unparse(node)
        for path in ROOT.rglob("*.py")
        if "log." in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"log\.(info|warning|error|exception)", ast.unparse(node.func))
    ]

    assert len(calls) > 20
    assert [] == [call for call in calls if "extra=about(" not in call]


async def test_a_record_carries_its_event(emulator, caplog):
    """A program reads what happened, and the ids that it concerns, from the record and not from its text."""
    async with FoxSession(emulator.key, base_url=emulator.url) as fox:
        handle = fox.attach("task-1")
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]

    assert (record.event, record.task_ids) == ("unfinished", [handle.id])
