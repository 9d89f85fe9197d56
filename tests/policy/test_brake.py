"""How many billed POSTs may be unanswered, and when a closed brake lets the next one go."""

from __future__ import annotations

import itertools

from foxapi_async import APIError, UncertainSubmitError
from foxapi_async._policy.brake import FIRST_UNANSWERED, GAPS, LONGEST_HOLD, Brake, PostOutcome

PAGE = APIError("HTTP 404: 404 page not found", status=404)
LOST = UncertainSubmitError("no answer")
ERRORS = {
    PostOutcome.EDGE: PAGE,
    PostOutcome.UNCERTAIN: LOST,
    PostOutcome.REFUSED: APIError("no", status=400),
}


class Posts:
    """POSTs that pass a brake; each is a separate submit unless a number is given."""

    def __init__(self):
        self.brake, self.numbers = Brake(), itertools.count()

    def go(self):
        """The tickets of the POSTs that may go at once."""
        gone = []
        while self.brake.admits():
            gone.append(self.brake.begin())
        return gone

    def end(self, ticket, answer, *, now=0.0, submit=None):
        number = next(self.numbers) if submit is None else submit
        self.brake.end(ticket, number, answer, ERRORS.get(answer), now)

    def end_all(self, answer, count, **at):
        for _ in range(count):
            assert self.brake.admits()
            self.end(self.brake.begin(), answer, **at)

    def probe(self, answer, now, *, answered=True, ever_answered=True):
        """Make the free read, and let one submit go if it may."""
        self.brake.note_read(now, answered=answered, ever_answered=ever_answered)
        if self.brake.admits():
            self.end(self.brake.begin(), answer, now=now)


def closed(answer=PostOutcome.UNCERTAIN, *, accepted_before=True):
    """A brake that three uncertain submits, or one refusal by the edge, have closed at 100 s."""
    posts = Posts()
    if accepted_before:
        posts.end_all(PostOutcome.ACCEPTED, 1)
    posts.end_all(answer, 3 if answer is PostOutcome.UNCERTAIN else 1, now=100.0)
    assert posts.brake.hold is not None
    return posts


# Open.


def test_a_run_begins_with_eight_posts():
    """The ninth waits until one is answered."""
    assert FIRST_UNANSWERED == len(Posts().go())


def test_each_acceptance_allows_one_more():
    """Its own place is free again, and there is one more."""
    posts = Posts()
    epoch = posts.go()[0]
    posts.end(epoch, PostOutcome.ACCEPTED)

    assert 2 == len(posts.go())


def test_another_answer_frees_its_place_alone():
    """A refusal by the service, or a failed connection, allows no more than before."""
    for answer in (PostOutcome.REFUSED, PostOutcome.UNSENT):
        posts = Posts()
        epoch = posts.go()[0]
        posts.end(epoch, answer)
        assert 1 == len(posts.go())


def test_a_post_that_is_not_sent_after_all_gives_its_place_back():
    """It proves nothing."""
    posts = Posts()
    epochs = posts.go()
    posts.brake.withdraw(epochs[0])

    assert 1 == len(posts.go())


def test_a_recent_uncertain_one_keeps_its_place():
    """So no ninth goes before the third closes the brake; an older one frees its place."""
    posts = Posts()
    epochs = posts.go()
    posts.end(epochs[0], PostOutcome.UNCERTAIN)
    assert [] == posts.go()
    for epoch in epochs[1:]:
        posts.end(epoch, PostOutcome.REFUSED)
    posts.end_all(PostOutcome.REFUSED, 3)

    assert FIRST_UNANSWERED == len(posts.go())


def test_three_uncertain_of_the_last_ten_close_it():
    """Two do not, and older ones are dropped."""
    posts = Posts()
    posts.end_all(PostOutcome.UNCERTAIN, 2)
    posts.end_all(PostOutcome.ACCEPTED, 9)
    posts.end_all(PostOutcome.UNCERTAIN, 2)
    assert None is posts.brake.hold
    posts.end_all(PostOutcome.UNCERTAIN, 1)

    assert posts.brake.hold is not None


def test_the_tries_of_one_submit_count_once():
    """A submit that is sent again on request is one uncertain submit, for any number of tries."""
    posts = Posts()
    for _ in range(5):
        posts.end(posts.brake.begin(), PostOutcome.UNCERTAIN, submit=7)

    assert None is posts.brake.hold


def test_one_refusal_by_the_edge_closes_it():
    """One is enough."""
    assert PAGE is closed(PostOutcome.EDGE).brake.hold.error


def test_the_edge_may_refuse_one_item_alone():
    """If a POST that began later was accepted, the others continue."""
    posts = Posts()
    refused, accepted, *_ = posts.go()
    posts.end(accepted, PostOutcome.ACCEPTED)
    posts.end(refused, PostOutcome.EDGE)

    assert None is posts.brake.hold


def test_answers_to_what_was_sent_before_it_closed_prove_nothing():
    """They neither open it nor count in the next epoch."""
    posts = Posts()
    epochs = posts.go()
    for epoch in epochs[:3]:
        posts.end(epoch, PostOutcome.UNCERTAIN)
    hold = posts.brake.hold
    posts.end(epochs[3], PostOutcome.ACCEPTED)
    posts.brake.withdraw(epochs[4])

    assert hold is posts.brake.hold
    assert not posts.brake.admits()


# Closed.


def test_nothing_goes_until_a_read_is_answered():
    """Then one submit goes, and no second."""
    posts = closed()
    assert [] == posts.go()
    posts.brake.note_read(110.0, answered=True, ever_answered=True)

    assert 1 == len(posts.go())


def test_a_read_while_a_probe_is_under_way_changes_nothing():
    """Nor does one after it has opened."""
    posts = closed()
    posts.brake.note_read(110.0, answered=True, ever_answered=True)
    epoch = posts.brake.begin()
    posts.brake.note_read(111.0, answered=True, ever_answered=True)
    assert not posts.brake.admits()
    posts.end(epoch, PostOutcome.ACCEPTED)
    posts.brake.note_read(112.0, answered=False, ever_answered=True)

    assert None is posts.brake.hold


def test_a_probe_that_is_not_sent_lets_another_go():
    """Its place is free at once."""
    posts = closed()
    posts.brake.note_read(110.0, answered=True, ever_answered=True)
    posts.brake.withdraw(posts.brake.begin())

    assert posts.brake.admits()


def test_an_answer_of_the_service_opens_it_with_eight_posts():
    """An acceptance opens it, and a refusal in the service's own words too."""
    for answer in (PostOutcome.ACCEPTED, PostOutcome.REFUSED):
        posts = closed()
        posts.probe(answer, 110.0)
        assert FIRST_UNANSWERED == len(posts.go())


def test_the_gaps_grow_and_then_a_batch_gives_up():
    """Probes go 10, 30, 90 and 270 s after each other, and after the last the hold is an outage."""
    posts, now, reasons = closed(), 100.0, []
    gaps = []
    for _ in GAPS:
        gaps.append(posts.brake.hold.until - now)
        now = posts.brake.hold.until
        posts.probe(PostOutcome.UNCERTAIN, now)
        reasons.append(posts.brake.reason_to_pause(now))

    assert list(GAPS) == gaps
    assert [None, None, None, "outage"] == reasons


def test_a_service_that_does_not_answer_reads_is_not_sent_a_submit():
    """The next gap begins, and nothing may be billed."""
    posts = closed()
    posts.probe(PostOutcome.ACCEPTED, 110.0, answered=False)

    assert 140.0 == posts.brake.hold.until
    assert [] == posts.go()


def test_after_the_last_gap_it_continues_at_that_gap():
    """`as_completed` never gives up: its items end at their own time."""
    posts, now = closed(), 100.0
    for _ in range(8):
        now = posts.brake.hold.until
        posts.probe(PostOutcome.UNCERTAIN, now)

    assert GAPS[-1] == posts.brake.hold.until - now


# Closed by something in front of the service.


def test_an_edge_that_refuses_is_probed_at_once_where_submits_were_accepted():
    """It may refuse only one item. If nothing was ever accepted, the first probe waits for the first gap."""
    assert 100.0 == closed(PostOutcome.EDGE).brake.hold.until
    assert 110.0 == closed(PostOutcome.EDGE, accepted_before=False).brake.hold.until


def test_three_refusals_prove_a_wrong_path_where_nothing_was_ever_accepted():
    """Within a minute: the first at once, the others after 10 and 30 s, although no read is answered."""
    posts = closed(PostOutcome.EDGE, accepted_before=False)
    posts.probe(PostOutcome.EDGE, 110.0, answered=False, ever_answered=False)
    assert None is posts.brake.reason_to_pause(110.0)
    posts.probe(PostOutcome.EDGE, 140.0, answered=False, ever_answered=False)

    assert "path" == posts.brake.reason_to_pause(140.0)


def test_an_edge_that_refuses_for_ten_minutes_is_an_outage():
    """If submits were accepted before, three refusals prove nothing; ten minutes do."""
    posts, now = closed(PostOutcome.EDGE), 100.0
    while posts.brake.reason_to_pause(now) is None:
        now = posts.brake.hold.until
        posts.probe(PostOutcome.EDGE, now)

    assert ("outage", LONGEST_HOLD) == (posts.brake.reason_to_pause(now), now - 100.0)


def test_a_hold_that_has_lasted_too_long_still_has_gaps():
    """No probe follows the last one at once."""
    posts, now = closed(PostOutcome.EDGE), 100.0
    while posts.brake.reason_to_pause(now) is None:
        now = posts.brake.hold.until
        posts.probe(PostOutcome.EDGE, now)

    assert GAPS[-1] == posts.brake.hold.until - now


def test_a_probe_that_could_not_be_sent_waits_for_the_next_gap():
    """The last error stays the reason."""
    posts = closed(PostOutcome.EDGE, accepted_before=False)
    posts.probe(PostOutcome.UNSENT, 110.0)

    assert PAGE is posts.brake.hold.error
    assert 140.0 == posts.brake.hold.until


def test_a_later_acceptance_shows_that_only_one_item_is_refused():
    """A later POST that was accepted, and no earlier one."""
    posts = Posts()
    ticket = posts.go()[1]
    posts.end(ticket, PostOutcome.ACCEPTED)

    assert posts.brake.has_accepted_since(ticket.number - 1)
    assert not posts.brake.has_accepted_since(ticket.number)
