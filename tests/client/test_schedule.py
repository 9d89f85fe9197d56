"""The schedule compared with a plain dictionary."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from foxapi_async._client.schedule import Schedule

keys = st.integers(0, 12)
moments = st.integers(0, 40).map(float)


class ScheduleModel(RuleBasedStateMachine):
    """A schedule is a dictionary of keys with their moments. Of keys with the same moment, the first one put
    comes first.
    """

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

    @invariant()
    def agrees(self) -> None:
        first = self.order()[:1]
        assert len(self.model) == len(self.schedule)
        assert ((self.model[first[0]][0], first[0]) if first else None) == self.schedule.first()

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.schedule._heap) <= 2 * len(self.model) + 64


TestSchedule = ScheduleModel.TestCase
TestSchedule.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


def taken(schedule: Schedule) -> list:
    """Every key with its moment, in order. Afterwards the schedule is empty."""
    found = []
    while (first := schedule.first()) is not None:
        found.append(first)
        schedule.discard(first[1])
    return found


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_everything_comes_out_once_in_order(whens):
    """Every key comes out exactly once, the earliest first."""
    schedule: Schedule[int] = Schedule()
    for key, when in enumerate(whens):
        schedule.put(key, when)

    assert sorted((when, key) for key, when in enumerate(whens)) == taken(schedule)


def test_a_key_that_is_put_again_moves():
    """Putting a key again moves it, in both directions."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", 1.0)
    schedule.put("a", 5.0)
    schedule.put("b", 9.0)
    schedule.put("b", 2.0)

    assert [(2.0, "b"), (5.0, "a")] == taken(schedule)


class Key:
    """An object that should be freed."""


def test_discarded_keys_are_not_kept_in_memory():
    """If a crowd behind one early key was discarded, almost nothing of it is kept in memory."""
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
    assert [(0.0, first)] == taken(schedule)


def test_keys_that_moved_often_leave_no_old_entries():
    """Discarding the other keys does not leave the old entries of a key that moved often."""
    schedule: Schedule[int] = Schedule()
    for key in range(100):
        schedule.put(key, 1.0)
    for when in range(160):
        schedule.put(0, 1000.0 + when)
    for key in range(1, 100):
        schedule.discard(key)

    assert len(schedule._heap) <= 2 * len(schedule) + 64
