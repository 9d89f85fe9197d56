"""How far a task is, between two events."""

import pytest

from foxapi_async._handles.progress import share_done
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot


def event(*, progress=None, elapsed=0.0, remaining=None, final=False):
    """An event of a task."""
    return TaskEvent(
        task_id="t-1",
        model="m",
        status="processing",
        progress=progress,
        elapsed=elapsed,
        remaining=remaining,
        final=final,
        snapshot=TaskSnapshot(id="t-1"),
    )


@pytest.mark.parametrize(
    ("seen", "waited", "share"),
    [
        (event(), 5, None),
        (event(final=True), 0, 1.0),
        (event(progress=40), 9, 0.4),
        (event(progress=40, remaining=10), 5, 0.7),
        (event(progress=0, elapsed=5, remaining=5), 0, 0.5),
        (event(elapsed=5, remaining=5), 2.5, 0.75),
        (event(elapsed=5, remaining=5), 60, 0.99),
        (event(progress=250), 0, 0.99),
        (event(elapsed=0, remaining=0), 0, 0.0),
    ],
)
def test_the_bar_moves_between_two_polls(seen, waited, share):
    """The bar moves on to where the task is expected to end, and only the service says that it is done."""
    got = share_done(seen, waited)

    assert share == (got if got is None else pytest.approx(got))
