"""A used up quota is reported with 402, 403 or 429: there are few requests, and nothing is lost."""

import pytest
from counted import ended, run_batch, small, smalls
from helpers import WHOLE, now, posts, session_at

from foxapi_async import InsufficientQuotaError, TaskHandle, TaskResult
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

ITEMS = 300 if WHOLE else 60
CODES = ("insufficient_quota", "insufficient_user_quota")
OTHER = "gpt-image-1"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "status",
    [
        402,
        403,
        429,
    ],
)
async def test_a_quota_is_raised_at_once(status, code):
    """A submit that a quota refuses raises `InsufficientQuotaError` after one POST, with the service's words."""
    async with (
        Emulator(faults=[Fault.quota(status=status, code=code, times=None)]) as emulator,
        session_at(emulator) as fox,
    ):
        error = await ended(fox.submit(small()))
        seconds = now()

    assert isinstance(error, InsufficientQuotaError)
    assert (error.status, error.code, error.charged) == (status, code, "no")
    assert "quota is used up" in str(error)
    assert (len(posts(emulator)), emulator.billed) == (1, 0)
    assert seconds < 1


@pytest.mark.parametrize("status", [403, 429])
async def test_a_quota_with_retry_after_is_a_rate_limit(status):
    """After a quota refusal with `Retry-After` the submit waits that long, and is accepted then."""
    fault = Fault.quota(status=status, retry_after=7)
    async with Emulator(faults=[fault]) as emulator, session_at(emulator) as fox:
        handle = await ended(fox.submit(small()))
        seconds = now()

    assert isinstance(handle, TaskHandle)
    assert (len(posts(emulator)), emulator.billed) == (2, 1)
    assert 7 <= seconds <= 9


@pytest.mark.wide
@pytest.mark.parametrize("status", [402, 403, 429])
async def test_a_quota_stops_a_batch(status, tmp_path):
    """A batch whose quota is used up pauses within seconds, after few POSTs, and every item can be done later."""
    async with Emulator(seconds=5, faults=[Fault.quota(status=status, times=None)]) as emulator:
        seen = await run_batch(emulator, smalls(ITEMS), tmp_path, limit=60)

    assert isinstance(seen.raised, InsufficientQuotaError)
    assert seen.states == (0, 0, 0, 0)
    # The most that may be unanswered at once; the brake limits it to eight.
    assert seen.posts <= (100 if status == 402 else 8)
    assert seen.seconds < 10
    assert "quota is used up" in (seen.paused or "")


@pytest.mark.wide
@pytest.mark.thorough
async def test_a_quota_that_ends_in_the_middle(tmp_path):
    """A quota that is used up during a batch stops it; a later run does the rest, each item once."""
    async with Emulator(seconds=5, faults=[Fault.quota(times=None, after=ITEMS // 3)]) as emulator:
        first = await run_batch(emulator, smalls(ITEMS), tmp_path, limit=60)
    async with Emulator(seconds=5) as later:
        later._service.tasks |= emulator._service.tasks
        second = await run_batch(later, smalls(ITEMS), tmp_path)

    assert (first.done, first.failed, first.uncertain, first.billed) == (ITEMS // 3, 0, 0, ITEMS // 3)
    assert first.posts <= 200
    assert isinstance(first.raised, InsufficientQuotaError)
    assert (second.states, second.billed) == ((ITEMS, 0, 0, 0), ITEMS - ITEMS // 3)


@pytest.mark.thorough
async def test_a_quota_of_one_model_stops_that_model(tmp_path):
    """A quota refusal of only one model stops that model, and the items of the other are done."""
    fault = Fault.quota(times=None, model=OTHER)
    requests = [small(f"fox {n}", OTHER if n % 2 else "gpt-image-2") for n in range(60)]
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen = await run_batch(emulator, requests, tmp_path, limit=60)

    assert seen.states == (30, 0, 0, 0)
    assert seen.billed == 30
    assert seen.posts <= 30 + 8
    assert seen.seconds < 60


async def test_a_quota_of_two_models_stops_the_account(tmp_path):
    """A quota refusal of a second model stops the account: nothing more is sent."""
    models = (OTHER, "gpt-image-1.5")
    faults = [Fault.quota(times=None, model=model) for model in models]
    requests = [small(f"fox {n}", models[n % 2]) for n in range(60)]
    requests += smalls(60)
    async with Emulator(seconds=5, faults=faults) as emulator:
        seen = await run_batch(emulator, requests, tmp_path, limit=60, max_in_flight=20)

    assert isinstance(seen.raised, InsufficientQuotaError)
    assert (seen.done, seen.failed, seen.billed) == (0, 0, 0)
    assert seen.posts <= 20


@pytest.mark.parametrize(
    "status",
    [
        402,
        403,
        429,
    ],
)
async def test_quota_words_on_a_poll_end_no_handle(status):
    """Quota words on a poll never end a handle: the task is paid for, and polling continues."""
    fault = Fault.quota("poll", status).during(0, 60)
    async with Emulator(seconds=30, faults=[fault]) as emulator, session_at(emulator) as fox:
        result = await ended(fox.generate(small()))

    assert isinstance(result, TaskResult)
    assert emulator.faults_fired > 0
