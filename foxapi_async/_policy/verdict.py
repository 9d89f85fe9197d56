"""The verdict on a failed exchange."""

from __future__ import annotations

import attrs

from foxapi_async._errors import FoxError


@attrs.frozen
class Verdict:
    """The error of a failed exchange, and whether the exchange may be repeated.

    Attributes:
        error: the error to raise if it is not repeated.
        again: whether to try again.
        hold: whether the limiter counts the refusal (429). If the service also asks for a wait, the limiter holds back
            all requests of this kind for that time.
        answer: the error of the last try alone, if `error` is another one; else None. For example, `error` is about a
            submit that stays uncertain, or about a download.
        edge: whether something in front of the service (a page, a redirect) answered, and not the service itself.
        too_large: whether the answer exceeded the size limit (`error` names it).
    """

    error: FoxError
    again: bool = False
    hold: bool = False
    answer: FoxError | None = None
    edge: bool = False
    too_large: bool = False

    @property
    def refusal(self) -> FoxError:
        """The error of the last try alone. Other waiting requests may raise it."""
        return self.answer or self.error

    @property
    def retry_after(self) -> float | None:
        """Seconds that the service asked to wait, or None."""
        return getattr(self.refusal, "retry_after", None)


def is_transient(status: int) -> bool:
    """Whether a status means that a later try may succeed."""
    return status in {408, 429} or status >= 500
