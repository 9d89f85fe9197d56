"""The lease of a worker: for how long after its last heartbeat it may send."""

from __future__ import annotations

import sys
import time

import attrs

LEASE_SECONDS = 30.0

BEATS = 6
"""Heartbeats in the time of one lease."""

TAKEOVER = 2.0
"""A worker is replaced if it sends no heartbeat for this many leases."""


def boot_time() -> float:
    """Seconds on a clock that also counts while the machine sleeps, if the system has such a clock."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()  # pragma: no cover - on other systems


@attrs.define
class Lease:
    """The permission to send. Each heartbeat renews it, from the moment before the heartbeat was sent.

    Args:
        seconds: its length.
    """

    seconds: float = LEASE_SECONDS
    _until: float = attrs.field(default=0.0, init=False)
    _ended: bool = attrs.field(default=False, init=False)

    def renew(self, asked: float) -> None:
        """Renew it. `asked` is the boot time just before the heartbeat was sent. A lease that was ended stays ended."""
        self._until = max(self._until, asked + self.seconds)

    def end(self) -> None:
        """End it at once. It cannot be renewed."""
        self._ended = True

    def is_valid(self) -> bool:
        """Whether a request may still leave."""
        return not self._ended and boot_time() < self._until
