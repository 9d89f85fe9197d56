"""The settings of a session reject invalid values by name."""

from __future__ import annotations

import math
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import UNSET, Cadence, ConfigurationError, InvalidRequestError, Limits, RetryPolicy
from foxapi_async._options import check_count, check_timeout, is_number

NO_POSITIVE_NUMBER = [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, True, "5", 10**400, None]
NO_COUNT = [0, -1, 1.5, 2.0, True, "3", math.nan]


def test_defaults():
    """The defaults are the documented ones."""
    assert Limits() == Limits(
        connections=100, max_in_flight=None, submits_per_second=None, polls_per_second=None
    )
    assert RetryPolicy() == RetryPolicy(
        tries=5, connect_timeout=10.0, reply_timeout=60.0, grace=10.0, resubmit_uncertain=False
    )
    assert Cadence().poll_price == 0.075


@pytest.mark.parametrize("cls", [Limits, RetryPolicy, Cadence])
def test_settings_are_values(cls):
    """Settings are frozen, hashable, equal by content, and survive a pickle."""
    assert cls() == cls()
    assert hash(cls()) == hash(cls())
    assert pickle.loads(pickle.dumps(cls())) == cls()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(cls(), attrs.fields(cls)[0].name, 1)


@pytest.mark.parametrize("name", ["submits_per_second", "polls_per_second"])
@pytest.mark.parametrize("value", NO_POSITIVE_NUMBER[:-1], ids=repr)
def test_rates_are_positive(name, value):
    """A rate that is not a positive, finite number is refused by its name."""
    with pytest.raises(ConfigurationError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name"), [(Limits, "connections"), (Limits, "max_in_flight"), (RetryPolicy, "tries")]
)
@pytest.mark.parametrize("value", NO_COUNT, ids=repr)
def test_counts_are_whole_and_positive(cls, name, value):
    """A count below 1, or that is not an integer, is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{cls.__name__}.{name}"):
        cls(**{name: value})


@pytest.mark.parametrize("name", ["connect_timeout", "reply_timeout", "grace"])
@pytest.mark.parametrize("value", NO_POSITIVE_NUMBER, ids=lambda value: repr(value)[:8])
def test_bounds_are_positive(name, value):
    """A bound of an exchange that is not a positive, finite number is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{name}"):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("name", ["poll_price", "shortest", "longest"])
@pytest.mark.parametrize("value", NO_POSITIVE_NUMBER, ids=lambda value: repr(value)[:8])
def test_the_cadence_is_positive(name, value):
    """A cadence value that is not a positive, finite number is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"Cadence.{name}"):
        Cadence(**{name: value})


def test_shortest_is_no_more_than_longest():
    """Bounds that exclude each other are refused; equal ones make a fixed interval."""
    with pytest.raises(ConfigurationError, match="shortest=2 exceeds longest=1"):
        Cadence(shortest=2, longest=1)

    assert Cadence(shortest=2, longest=2).next_poll(10.0, 45) == 12.0


def test_whole_numbers_and_rates_below_one_are_fine():
    """Integers are valid for seconds, and a rate may be less than one per second."""
    assert Limits(connections=1, max_in_flight=1, submits_per_second=0.1, polls_per_second=3)
    assert RetryPolicy(tries=1, connect_timeout=1, reply_timeout=1, grace=1)


@pytest.mark.parametrize(
    ("given_seconds", "seconds"), [(None, None), (math.inf, None), (5, 5.0), (0.001, 0.001)]
)
def test_timeouts(given_seconds, seconds):
    """A timeout is positive seconds; None and infinity mean no limit."""
    assert seconds == check_timeout(given_seconds)


@pytest.mark.parametrize(
    "value",
    [0, -1, math.nan, -math.inf, True, False, "5", 10**400, UNSET, [5]],
    ids=lambda value: repr(value)[:8],
)
def test_bad_timeouts(value):
    """Anything else is refused as a wrong argument, by name."""
    with pytest.raises(InvalidRequestError, match="timeout="):
        check_timeout(value)


@given(st.floats() | st.integers() | st.booleans() | st.none() | st.text())
def test_is_number(value):
    """A number is a value that can be a finite float; the check itself never fails."""
    expected = type(value) in {int, float} and math.isfinite(value)

    assert expected is is_number(value)


def test_unset_is_readable():
    """UNSET shows its name, stays the same object after a pickle, and is not None."""
    assert repr(UNSET) == "UNSET"
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET


def test_counts_raise_what_is_asked():
    """The same check is used for settings and arguments."""
    check_count("max_in_flight", 1)
    with pytest.raises(InvalidRequestError, match="max_in_flight=0"):
        check_count("max_in_flight", 0, InvalidRequestError)
