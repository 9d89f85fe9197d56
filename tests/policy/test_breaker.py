"""The account is refused: one answer concerns every submit, and one success ends it."""

import asyncio
import logging

import pytest
from helpers import fox_request, now, posts, session_at, settle

from foxapi_async import (
    AuthenticationError,
    InsufficientQuotaError,
    Limits,
    RetryPolicy,
    UncertainSubmitError,
)
from foxapi_async._policy.breaker import Breaker
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

REFUSED = {401: AuthenticationError, 402: InsufficientQuotaError}


def no_credits():
    return InsufficientQuotaError("HTTP 402: no credits", status=402)


async def gathered(submits):
    """The result of each submit, with errors as values."""
    return await asyncio.gather(*submits, return_exceptions=True)


@pytest.mark.parametrize("status", REFUSED)
async def test_what_waits_for_its_turn_is_not_sent(status):
    """Of a hundred submits at ten a second one is refused; the others fail at once, unsent and not billed."""
    faults, limits = [Fault.status("submit", status, times=None)], Limits(submits_per_second=10)
    async with Emulator(faults=faults) as emulator, session_at(emulator, limits=limits) as fox:
        outcomes = await gathered(fox.submit(fox_request()) for _ in range(100))

        assert 1 == len(posts(emulator))
        assert {(REFUSED[status], "no")} == {(type(error), error.charged) for error in outcomes}
        assert now() < 0.1


async def test_one_submit_in_thirty_seconds_probes():
    """While the account is refused, one submit passes every 30 s; the others get the stored error and its age."""
    faults = [Fault.status("submit", 402, times=None)]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        for _ in range(121):
            with pytest.raises(InsufficientQuotaError) as caught:
                await fox.submit(fox_request())
            await asyncio.sleep(1)

    assert [0, 30, 60, 90, 120] == [round(record.when) for record in posts(emulator)]
    assert 402 == caught.value.status


async def test_the_stored_error_says_that_nothing_was_sent():
    """The error of a held submit says that it was not sent, since when, why, and what to do."""
    async with Emulator(faults=[Fault.status("submit", 402)]) as emulator, session_at(emulator) as fox:
        await gathered([fox.submit(fox_request())])
        await asyncio.sleep(7)
        with pytest.raises(
            InsufficientQuotaError, match=r"not sent: 7 s ago .*HTTP 402.*resume\(\)"
        ) as caught:
            await fox.submit(fox_request())

    assert ("no", False) == (caught.value.charged, caught.value.retryable)


async def test_a_probe_that_is_accepted_ends_it(caplog):
    """After the first success all submits pass again, and the log reports both changes, once each."""
    caplog.set_level(logging.INFO, logger="foxapi_async")
    async with Emulator(faults=[Fault.status("submit", 401)]) as emulator, session_at(emulator) as fox:
        await gathered([fox.submit(fox_request())])
        await asyncio.sleep(30)
        await fox.submit(fox_request())
        handles = await gathered(fox.submit(fox_request()) for _ in range(5))

        assert 6 == emulator.billed == len({handle.id for handle in handles}) + 1
    assert 1 == caplog.text.count("the service refused the account")
    assert 1 == caplog.text.count("a submit was accepted")


async def test_while_a_probe_is_under_way_nothing_else_passes():
    """A slow answer to a probe holds the others back, until the next probe is due."""
    faults = [Fault.status("submit", 402), Fault.slow("submit", 20)]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        await gathered([fox.submit(fox_request())])
        await asyncio.sleep(30)
        probe = asyncio.create_task(fox.submit(fox_request()))
        await settle()
        with pytest.raises(InsufficientQuotaError):
            await fox.submit(fox_request())

        assert (await probe).id in emulator.tasks
        assert 2 == len(posts(emulator))


async def test_resume_lets_all_pass_at_once(caplog):
    """`resume()` after buying credits: no wait for a probe; if nothing is held it does nothing."""
    caplog.set_level(logging.INFO, logger="foxapi_async")
    async with Emulator(faults=[Fault.status("submit", 402)]) as emulator, session_at(emulator) as fox:
        fox.resume()
        await gathered([fox.submit(fox_request())])
        fox.resume()
        await gathered(fox.submit(fox_request()) for _ in range(3))

    assert 3 == emulator.billed
    assert 1 == caplog.text.count("because resume() was called")


async def test_what_was_sent_before_is_answered_for_itself():
    """Unanswered submits at the refusal keep their own answers; a success among them ends nothing."""
    faults = [Fault.slow("submit", 5), Fault.status("submit", 402, times=None)]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        first = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)
        await gathered([fox.submit(fox_request())])

        assert (await first).id in emulator.tasks
        with pytest.raises(InsufficientQuotaError, match="not sent"):
            await fox.submit(fox_request())


async def test_a_refused_upload_holds_the_submits_too(tmp_path):
    """A 401 on the upload of a request's file concerns the account as well: two more requests send nothing."""
    files = [tmp_path / f"{n}.png" for n in range(3)]
    for file in files:
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + file.name.encode())
    faults = [Fault.status("upload", 401, times=None)]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        for file in files:
            with pytest.raises(AuthenticationError):
                await fox.submit(fox_request(image_urls=[file]))

    assert 1 == len(emulator.requests)


async def test_an_earlier_try_without_answer_stays_uncertain():
    """If a submit waits after an uncertain try, a refusal of the account does not make it free."""
    faults = [Fault.cut_after("submit", prompt="one"), Fault.status("submit", 402, prompt="two")]
    options = {"retry": RetryPolicy(resubmit_uncertain=True), "limits": Limits(submits_per_second=10)}
    async with Emulator(faults=faults) as emulator, session_at(emulator, **options) as fox:
        first, second = await gathered([fox.submit(fox_request("one")), fox.submit(fox_request("two"))])

    assert (UncertainSubmitError, InsufficientQuotaError) == (type(first), type(second))
    assert 1 == emulator.billed


async def test_a_series_ends_with_the_refusal_in_each_outcome():
    """`as_completed` gives each unsent item the refusal as its outcome, without a call for each."""
    faults, requests = [Fault.status("submit", 402, after=5, times=None)], [fox_request() for _ in range(50)]
    async with Emulator(seconds=1, faults=faults) as emulator, session_at(emulator) as fox:
        outcomes = [outcome async for outcome in fox.as_completed(requests, max_in_flight=2)]

    assert (5, 45) == (emulator.billed, sum(isinstance(o.error, InsufficientQuotaError) for o in outcomes))
    assert len(posts(emulator)) <= 7


async def test_a_probe_that_waited_out_a_429_counts_for_the_account_as_it_is_then():
    """An item was sent as a probe and held back; the account was accepted meanwhile: its own 402 counts as new."""
    faults = [Fault.status("submit", 402), Fault.status("submit", 429, retry_after=200, prompt="item")]
    retry = RetryPolicy(tries=1)
    async with Emulator(faults=faults) as emulator, session_at(emulator, retry=retry) as fox:
        await gathered([fox.submit(fox_request())])
        await asyncio.sleep(30)
        series = fox.as_completed([fox_request("item")])
        reading = asyncio.create_task(anext(series))
        await asyncio.sleep(1)
        fox.resume()
        emulator.add_fault(Fault.status("submit", 402))
        outcome = await reading
        sent = len(posts(emulator))
        await gathered([fox.submit(fox_request())])

    assert isinstance(outcome.error, InsufficientQuotaError)
    assert (3, 3) == (sent, len(posts(emulator)))


MODEL = "fox"


def test_only_the_account_holds_submits():
    """Any other refusal concerns only its own submit."""
    breaker = Breaker()

    assert None is breaker.refused(UncertainSubmitError("no answer"), MODEL, breaker.admit(MODEL, 0), 0)
    assert (0, 0) == breaker.admit(MODEL, 0)


def test_an_answer_from_before_the_last_change_proves_nothing():
    """A late refusal does not undo `reset`, nor does a late success end a new refusal."""
    breaker = Breaker()
    early = breaker.admit(MODEL, 0)
    assert "account" == breaker.refused(no_credits(), MODEL, early, 1)
    assert None is breaker.refused(no_credits(), MODEL, early, 2)
    assert breaker.reset()

    assert None is breaker.refused(no_credits(), MODEL, early, 3)
    later = breaker.admit(MODEL, 3)
    assert "account" == breaker.refused(no_credits(), MODEL, later, 4)
    assert not breaker.accepted(MODEL, later)
    with pytest.raises(InsufficientQuotaError):
        breaker.admit(MODEL, 5)


def test_a_refused_probe_waits_another_thirty_seconds():
    """A refused probe changes nothing, and the next may go 30 s after it."""
    breaker = Breaker()
    breaker.refused(no_credits(), MODEL, breaker.admit(MODEL, 0), 0)
    probe = breaker.admit(MODEL, 30)

    assert None is breaker.refused(no_credits(), MODEL, probe, 31)
    with pytest.raises(InsufficientQuotaError):
        breaker.admit(MODEL, 60.9)
    assert probe == breaker.admit(MODEL, 61)


# A quota refusal with another status than 402 stops only its model.


def no_quota(status=429):
    return InsufficientQuotaError(f"HTTP {status} insufficient_quota", status=status)


def test_a_quota_stops_its_model_alone():
    """Another model continues; the refused one is not sent."""
    breaker = Breaker()

    assert "model" == breaker.refused(no_quota(), "fox", breaker.admit("fox", 0), 0)
    assert (0, 0) == breaker.admit("wolf", 1)
    with pytest.raises(InsufficientQuotaError, match="not sent: 1 s ago"):
        breaker.admit("fox", 1)


def test_a_second_model_without_quota_stops_the_account():
    """If two models are refused, it concerns the account: a third is not sent either."""
    breaker = Breaker()
    breaker.refused(no_quota(), "fox", breaker.admit("fox", 0), 0)

    assert "account" == breaker.refused(no_quota(403), "wolf", breaker.admit("wolf", 1), 1)
    with pytest.raises(InsufficientQuotaError):
        breaker.admit("owl", 2)


def test_a_model_probes_every_thirty_seconds_and_a_success_ends_its_refusal():
    """As with the account, one submit of the model passes, and its acceptance lets all of them pass."""
    breaker = Breaker()
    breaker.refused(no_quota(), "fox", breaker.admit("fox", 0), 0)
    probe = breaker.admit("fox", 30)
    with pytest.raises(InsufficientQuotaError):
        breaker.admit("fox", 31)

    assert breaker.accepted("fox", probe)
    assert (0, 2) == breaker.admit("fox", 32)


def test_an_answer_from_before_a_model_was_refused_proves_nothing():
    """A late refusal or success of an earlier epoch changes nothing for the model."""
    breaker = Breaker()
    early = breaker.admit("fox", 0)
    breaker.refused(no_quota(), "fox", early, 0)

    assert None is breaker.refused(no_quota(), "fox", early, 1)
    assert not breaker.accepted("fox", early)
    assert breaker.reset()
    assert not breaker.reset()
