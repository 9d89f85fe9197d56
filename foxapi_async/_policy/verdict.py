"""What an exchange that did not go well means for the one who made it."""

from __future__ import annotations

import attrs

from foxapi_async._errors import FoxError


@attrs.frozen
class Verdict:
    """What is raised if the exchange is not repeated, and whether it may be.

    Attributes:
        error: what to raise.
        again: whether to try again.
        hold: whether every request of this kind in the session should wait as well (429).
        answer: what the service said, where `error` says that the outcome is unknown in spite of it.
        edge: whether something in front of the service answered (a page, a redirect), and not the service itself.
        too_large: whether the answer was larger than is read (`error` names the limit).
    """

    error: FoxError
    again: bool = False
    hold: bool = False
    answer: FoxError | None = None
    edge: bool = False
    too_large: bool = False

    @property
    def refusal(self) -> FoxError:
        """The service's own words, if there were any: what other requests may be told when they are held."""
        return self.answer or self.error

    @property
    def retry_after(self) -> float | None:
        """Seconds that the service asked to wait, or None."""
        return getattr(self.refusal, "retry_after", None)


def is_transient(status: int) -> bool:
    """Whether a status says "later" rather than "no"."""
    return status in {408, 429} or status >= 500
