"""The address of the database, and which servers are refused."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from foxapi_async import ConfigurationError
from foxapi_async.cluster.database import VARIABLE, Database, check_version


@pytest.mark.parametrize("dsn", ["postgresql://fox:secret%zz@host/foxes", "host=db password=secret nonsense"])
def test_an_address_that_cannot_be_read_is_not_shown(dsn):
    """It may have a password."""
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        Database.at(dsn)

    assert "secret" not in str(caught.value)


def test_without_an_address_there_is_no_database(monkeypatch):
    """The message names the variable."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        Database.at(None)


def test_a_database_is_shown_without_its_password():
    """Also in a debugger."""
    database = Database.at("postgresql://fox:secret@db.example:6543/foxes")

    assert "<Database foxes at db.example:6543>" == repr(database)


@pytest.mark.parametrize(("number", "is_refused"), [(140_019, True), (150_000, False)])
async def test_an_old_server_is_refused(shared_dsn, number, is_refused):
    """The message has its version and the oldest one that is enough."""
    connection = await Database.at(shared_dsn).connect()
    old = SimpleNamespace(info=SimpleNamespace(server_version=number), execute=connection.execute)
    refusal = (
        pytest.raises(ConfigurationError, match="is PostgreSQL 14: 15 or newer")
        if is_refused
        else contextlib.nullcontext()
    )
    with refusal:
        await check_version(old)
    await connection.close()
