"""Whether the service answers, and for how long it has been silent."""

from __future__ import annotations

from foxapi_async._policy.reachability import Reachability


def test_a_session_has_no_answer_at_first():
    """There was no answer and no silence yet."""
    contact = Reachability()

    assert (False, 0.0) == (contact.ever_answered, contact.silence(100.0))


def test_silence_counts_from_the_first_submit_that_could_not_be_sent():
    """Further failures do not make it shorter."""
    contact = Reachability()
    contact.failed(10.0)
    contact.failed(20.0)

    assert 30.0 == contact.silence(40.0)


def test_a_submit_that_was_sent_ends_the_silence():
    """The next failure begins a new one."""
    contact = Reachability()
    contact.failed(10.0)
    contact.unreachable_since = None
    assert 0.0 == contact.silence(20.0)
    contact.failed(30.0)

    assert 5.0 == contact.silence(35.0)
