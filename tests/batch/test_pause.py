"""The words for a run that ends early."""

import pytest

from foxapi_async import ConnectionFailedError
from foxapi_async._batch.pause import Paused
from foxapi_async._hints import Hint


@pytest.mark.parametrize(
    "hint", [Hint.CHECK_ADDRESS, Hint.CHECK_CERTIFICATES, Hint.SERVICE_MOVED, Hint.SET_PROXY]
)
def test_a_wrong_set_up_does_not_ask_for_patience(hint):
    """A failure that does not pass by itself keeps its own hint."""
    paused = Paused.after("outage", ConnectionFailedError("it fails", hint=hint))

    assert ("it fails", hint) == (paused.what_happened, paused.hint)


def test_an_outage_asks_for_patience():
    """Any other failure may pass."""
    paused = Paused.after("outage", ConnectionFailedError("it fails"))

    assert ("it fails; wait until the service can be reached", Hint.RUN_AGAIN) == (
        paused.what_happened,
        paused.hint,
    )
