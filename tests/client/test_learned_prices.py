"""A session learns what the service takes for the results of each kind of request."""

from __future__ import annotations

import json

import pytest
from crowd import Service, room
from helpers import fox_request, session_at

from foxapi_async import Estimates, TaskError
from foxapi_async._cadence.estimates import price_book
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._policy.prices import Price, Priced, priced_as
from foxapi_async._wire.replies import TaskReply
from foxapi_async._wire.results import ResultFile
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual

KIND = Priced("fox")
ONE = ResultFile("https://files.test/a.png", None, {})


async def price_after(reserved, used, *, priced=KIND, results=2, expected=2):
    """The known price after a task, by the usage of the submit and of the last reply."""
    async with room(Service()) as crowd:
        remote = crowd.service.create(10.0, 10.0)
        end = TaskReply(
            id=remote.id,
            model="fox",
            status="completed",
            has_results=True,
            files=(ONE,) * results,
            usage=used,
        )
        crowd.service.answers[remote.id] = [end] * 50
        submit = TaskReply(id=remote.id, model="fox", estimated_time=10.0, usage=reserved)
        await crowd.poller.adopt(snapshot_of(submit), None, None, None, expected, priced)
    return price_book(crowd.poller.estimates).price_of(KIND)


@pytest.mark.parametrize(
    ("reserved", "used", "price"),
    [
        ({"credits_reserved": 10}, None, 5),
        ({"credits_reserved": 10}, {"credits_reserved": 12}, 6),
        ({"credits_reserved": 10}, {"credits_reserved": 10, "credits_used": 8}, 4),
        (None, {"cost": {"credits": 3}}, 1.5),
    ],
    ids=["reserved alone", "reserved again", "used", "cost"],
)
async def test_a_task_teaches_the_price_of_one_result(reserved, used, price):
    """What was used is better than what was reserved."""
    assert Price(price, 1) == await price_after(reserved, used)


async def test_without_credits_nothing_is_learned():
    """The price stays unknown."""
    assert await price_after(None, None) is None


async def test_missing_results_teach_no_price():
    """Whether the missing one was paid for is not known."""
    assert await price_after({"credits_reserved": 10}, None, results=1) is None


async def test_a_task_of_an_unknown_request_teaches_no_price():
    """An attached task may be of any kind."""
    assert await price_after({"credits_reserved": 10}, None, priced=None) is None


async def test_a_failed_task_teaches_no_price(emulator):
    """The service may have given its credits back."""
    emulator.add_fault(Fault.fails())
    estimates = Estimates()
    async with session_at(emulator, estimates=estimates) as fox:
        with pytest.raises(TaskError):
            await fox.generate(fox_request())

    assert [] == price_book(estimates).to_list()


async def test_a_session_keeps_the_prices_in_its_file(emulator, tmp_path):
    """Each task is counted once, with all its polls."""
    path = tmp_path / "estimates.json"
    for _ in range(2):
        async with session_at(emulator, estimates=path) as fox:
            await fox.generate(fox_request(num_outputs=2))
    book = price_book(Estimates.from_dict(json.loads(path.read_text())))

    assert Price(5, 2) == book.price_of(priced_as(fox_request()))
