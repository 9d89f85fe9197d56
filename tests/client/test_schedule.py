"""The schedule against a plain dictionary that does the same."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from foxapi_async._client.schedule import SLACK_SECONDS, Schedule

keys = st.integers(0, 12)
moments = st.integers(0, 40).map(float)


class ScheduleModel(RuleBasedStateMachine):
    """A schedule is a dictionary of keys with their moments, and keys put first go first at one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[int] = Schedule()
        self.model: dict[int, tuple[float, int]] = {}
        self.turn = 0

    def order(self) -> list[int]:
        return sorted(self.model, key=self.model.__getitem__)

    @rule(key=keys, when=moments)
    def put(self, key: int, when: float) -> None:
        self.turn += 1
        self.schedule.put(key, when)
        self.model[key] = (when, self.turn)

    @rule(when=moments, times=st.integers(1, 90))
    def move_often(self, when: float, times: int) -> None:
        for _ in range(times):
            self.put(0, when)

    @rule(key=keys)
    def discard(self, key: int) -> None:
        self.schedule.discard(key)
        self.model.pop(key, None)

    @rule(now=moments, room=st.none() | st.integers(0, 5))
    def take_due(self, now: float, room: int | None) -> None:
        due = [key for key in self.order() if self.model[key][0] <= now][:room]
        assert due == self.schedule.take_due(now, room)
        for key in due:
            del self.model[key]

    @invariant()
    def agrees(self) -> None:
        first = self.order()[:1]
        assert len(self.model) == len(self.schedule)
        assert all((key in self.schedule) == (key in self.model) for key in range(13))
        assert (self.model[first[0]][0] if first else None) == self.schedule.next_when()

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.schedule._heap) <= 2 * len(self.model) + 64


TestSchedule = ScheduleModel.TestCase
TestSchedule.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_everything_comes_out_once_in_order(whens):
    """Every key is taken exactly once, the earliest first."""
    schedule: Schedule[int] = Schedule()
    for key, when in enumerate(whens):
        schedule.put(key, when)
    taken = schedule.take_due(1e6)

    assert sorted(range(len(whens)), key=whens.__getitem__) == taken
    assert len(schedule) == 0
    assert schedule.next_when() is None


def test_nothing_is_taken_early():
    """A key is due at its moment, and within the millisecond by which a timer may fire early; not before."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", 10.0)

    assert schedule.take_due(10.0 - 2 * SLACK_SECONDS) == []
    assert schedule.take_due(10.0 - SLACK_SECONDS / 2) == ["a"]


def test_a_key_that_moved_later_is_not_taken_at_its_old_moment():
    """Putting a key again moves it, in both directions."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", 1.0)
    schedule.put("a", 5.0)
    schedule.put("b", 9.0)
    schedule.put("b", 2.0)

    assert schedule.take_due(1.0) == []
    assert schedule.take_due(4.0) == ["b"]
    assert schedule.take_due(5.0) == ["a"]


class Key:
    """Something that is worth forgetting."""


def test_discarded_keys_are_let_go():
    """Of a crowd that was discarded behind one early key, next to nothing is kept in memory."""
    schedule: Schedule[Key] = Schedule()
    first, crowd = Key(), [Key() for _ in range(1000)]
    schedule.put(first, 0.0)
    for key in crowd:
        schedule.put(key, 3600.0)
    for key in crowd:
        schedule.discard(key)
    references = [weakref.ref(key) for key in crowd]
    del crowd, key
    gc.collect()

    assert sum(reference() is not None for reference in references) <= 66
    assert schedule.take_due(1.0) == [first]


def test_what_is_taken_leaves_no_crowd_of_the_dead():
    """Taking the living does not leave the old entries of keys that moved often."""
    schedule: Schedule[int] = Schedule()
    for key in range(100):
        schedule.put(key, 1.0)
    for when in range(160):
        schedule.put(0, 1000.0 + when)

    assert len(schedule.take_due(1.0)) == 99
    assert len(schedule._heap) <= 2 * len(schedule) + 64
