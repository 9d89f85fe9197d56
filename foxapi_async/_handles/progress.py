"""The progress of a task between two events: how much of it is done, and the time in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async._wire.texts import duration

if TYPE_CHECKING:  # `snapshot` imports aiohttp; a command shows its first line before it imports aiohttp
    from foxapi_async._handles.snapshot import TaskEvent

_NEARLY = 0.99


def share_done(event: TaskEvent, waited: float) -> float | None:
    """How much of a task is done, 0 to 1, `waited` seconds after `event`; None if that is not known.

    The share starts from the service's progress, or from the elapsed time if the progress is 0. It grows so that it is
    nearly 1 when the task is expected to end. Only a final event makes it 1.
    """
    if event.final:
        return 1.0
    left = event.remaining
    share = (event.progress or 0.0) / 100
    if not share:
        if left is None:
            return None
        share = event.elapsed / max(event.elapsed + left, 1e-9)
    if left:
        share += (1 - share) * min(1.0, waited / left)
    return min(max(share, 0.0), _NEARLY)


def clock_words(event: TaskEvent, waited: float) -> str:
    """The elapsed time, and the expected remaining time, `waited` seconds after `event`."""
    spent = duration(event.elapsed + waited)
    if not event.remaining:
        return spent
    left = event.remaining - waited
    return f"{spent}, {f'about {duration(left)} left' if left >= 1 else 'any moment now'}"


def not_less(share: float | None, before: float | None) -> float | None:
    """The larger of the share and the share `before`, so that a progress bar never moves back."""
    return share if share is None or before is None else max(share, before)
