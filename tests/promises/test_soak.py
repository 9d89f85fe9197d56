"""A small day of one session; `benchmarks/soak.py` runs the same at full size."""

from __future__ import annotations

import asyncio

import pytest
from books import Books
from loops import VirtualLoop
from soak_callers import PROMISED, grown_collections
from soak_day import Report, live_a_day
from soak_service import Bill

from foxapi_async import RetryPolicy, ServerError, UncertainSubmitError

pytestmark = pytest.mark.thorough


def run(submits: int, **options) -> Report:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live_a_day(submits, **options))


@pytest.fixture(scope="module")
def day() -> Report:
    """One day, for all tests here."""
    return run(2000)


def test_a_day_adds_up(day):
    """Of 2,000 submits with faults on 5 % of all requests, none is billed twice or lost, and each has one outcome."""
    account = day.account
    assert (0, 0, 0) == (account.twice, account.lost, account.untrue), account
    assert [] == day.odd
    assert account.submitted == sum(account.outcomes.values()) >= 2000
    assert 0 == account.outcomes["never ended"]


def test_a_day_has_every_kind_of_fault(day):
    """The day has faults: dozens of kinds occur, and every outcome that callers know."""
    requests, troubles = day.requests.total(), day.troubles.total()
    assert 0.04 < troubles / requests < 0.06
    assert len(day.troubles) > 40
    expected = {words for words in day.account.outcomes if words not in {"never ended", "something else"}}
    assert expected == {words for words, count in day.account.outcomes.items() if count}


def test_nothing_grows_with_the_tasks(day):
    """When nothing runs, the session keeps only the entries of `unfinished`: paid tasks that may still run."""
    assert {} == {name: count for name, count in day.tables.items() if count and name not in PROMISED}
    assert {} == day.grown
    reported = day.account.outcomes
    most = reported["reported as not finished, with the id"] + reported["cancelled by their caller"]
    assert day.tables["detached"] <= most + reported["left unread in a series"]
    assert day.tables["unread handles of left series"] <= reported["left unread in a series"]


def test_nothing_is_pending_after_a_day(day):
    """A closed session has no asyncio task of its own."""
    assert 0 == day.pending


class Hoarder:
    """A stand-in for a session, with a table that only grows."""

    __module__ = "foxapi_async.hoarder"

    def __init__(self, entries: int) -> None:
        self.inner = [{"table": dict.fromkeys(range(entries))}]


def test_a_table_that_was_not_foreseen_is_found():
    """Every collection that a session holds is found, at any depth, and named by its path when it is too large."""
    path = "fox.inner[][]"
    assert ({}, {path: 300}) == (grown_collections(Hoarder(200)), grown_collections(Hoarder(300)))


def test_the_books_notice_a_client_that_sends_again():
    """Sending uncertain submits again, which a user must choose, bills some of them twice: the books show it."""
    retry = RetryPolicy(resubmit_uncertain=True, reply_timeout=30)
    assert run(500, seconds=3600, retry=retry).account.twice > 0


def test_the_books_notice_a_lost_task():
    """A billed task whose caller was told "not billed" counts as untrue and lost; one of unknown outcome as
    neither.
    """
    books = Books()
    for error in (
        ServerError("no", status=500, charged="no"),
        UncertainSubmitError("perhaps", idempotency_key="b"),
    ):
        books.end(books.begin(), error)
    account = books.close_against([Bill(0, "task-a", "a"), Bill(1, "task-b", "b")])
    assert (2, 1, 1) == (account.billed, account.lost, account.untrue)


def test_the_books_notice_what_never_ends():
    """A submit without an outcome is a separate fault."""
    books = Books()
    books.begin()
    assert 1 == books.close_against([]).faults
