"""The contract of every ledger, for the one in PostgreSQL: the tests are those of `tests/ledger/test_contract.py`."""

from __future__ import annotations

import importlib
import sys
import uuid
from pathlib import Path

import pytest
from cluster_parts import made_batch, opened_ledger

from foxapi_async.cluster.database import Database

PLACE = Path(__file__).parents[1] / "ledger"


def _contract():
    """The module with the tests, as pytest imports it."""
    if str(PLACE) not in sys.path:
        sys.path.append(str(PLACE))
    return importlib.import_module("test_contract")


# Only the tests: they get the `ledger` below.
globals().update({name: test for name, test in vars(_contract()).items() if name.startswith("test_")})


@pytest.fixture
async def ledger(shared_dsn, tmp_path):
    """The ledger of a worker for an empty batch."""
    database, batch = Database.at(shared_dsn), uuid.uuid4().hex
    await made_batch(database, batch)
    async with opened_ledger(database, tmp_path, batch) as opened:
        yield opened
