"""Whether the service itself answers this session, and for how long it has been silent. Pure.

An answer counts as the service's own if it has the service's JSON. An ingress during a deploy, a firewall or
a captive portal answers too, and proves nothing about the service.
"""

from __future__ import annotations


class Reachability:
    """Whether and when the service answered one session. Moments are loop time in seconds.

    Attributes:
        ever_answered: whether the service has ever answered this session.
        unreachable_since: when the first of the latest unsent submits failed; None after one was sent.
    """

    def __init__(self) -> None:
        self.ever_answered = False
        self.unreachable_since: float | None = None

    def failed(self, now: float) -> None:
        """Note a submit that could not be sent."""
        if self.unreachable_since is None:
            self.unreachable_since = now

    def silence(self, now: float) -> float:
        """For how many seconds no submit could be sent; 0 if the last one was sent."""
        return 0.0 if self.unreachable_since is None else now - self.unreachable_since
