"""The credits of the key, and the models that it may call."""

from __future__ import annotations

import pytest
from helpers import fox_request, posts, session_at

from foxapi_async import AuthenticationError, FoxSession, RateLimitError, RetryPolicy
from foxapi_async.emulator import Emulator, Fault

READS = {"credits": FoxSession.credits, "models": FoxSession.models}


@pytest.fixture(params=READS)
def read(request):
    return READS[request.param]


@pytest.fixture
async def emulator():
    async with Emulator(seconds=0.05, models=["house-model"]) as service:
        yield service


async def test_credits_go_down_by_what_was_billed(emulator):
    """Between two reads, exactly the credits of a task are gone."""
    async with session_at(emulator) as fox:
        before = await fox.credits()
        result = await fox.generate(fox_request(num_outputs=2))
        after = await fox.credits()

    assert before.remaining - after.remaining == result.credits == 10


async def test_models_of_the_key(emulator):
    """The models are those of the service, also unknown ones."""
    async with session_at(emulator) as fox:
        models = await fox.models()

    assert {"grok-imagine-image", "house-model"} <= set(models)


async def test_a_read_bills_nothing(emulator, read):
    """One read is one GET."""
    async with session_at(emulator) as fox:
        await read(fox)

    assert ["GET"] == [record.method for record in emulator.requests]
    assert [] == posts(emulator)


async def test_a_wrong_key_is_an_authentication_error(emulator, read):
    """A key that the service does not know is refused at once."""
    async with FoxSession("sk-wrong-12345", base_url=emulator.url) as fox:
        with pytest.raises(AuthenticationError) as caught:
            await read(fox)

    assert ("no", False, 1) == (caught.value.charged, caught.value.retryable, len(emulator.requests))


@pytest.mark.virtual
@pytest.mark.parametrize(
    "fault",
    [
        Fault.status("other", 503, times=2),
        Fault.status("other", 429, times=2),
        Fault.cut_after("other", times=2),
    ],
    ids=["503", "429", "cut"],
)
async def test_what_passes_is_tried_again(emulator, read, fault):
    """An outage, a refused rate and a lost answer are repeated like any read."""
    emulator.add_fault(fault)
    async with session_at(emulator, retry=RetryPolicy(tries=3)) as fox:
        assert await read(fox)

    assert 3 == len(emulator.requests)


@pytest.mark.virtual
async def test_what_does_not_pass_is_raised(emulator, read):
    """After the last try, the error is that of the service."""
    emulator.add_fault(Fault.status("other", 429, times=None))
    async with session_at(emulator, retry=RetryPolicy(tries=2)) as fox:
        with pytest.raises(RateLimitError) as caught:
            await read(fox)

    assert ("no", True, 2) == (caught.value.charged, caught.value.retryable, len(emulator.requests))
