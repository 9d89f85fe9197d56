"""What the headers of a reply say: the service's clock, and how long it asks to wait."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_date(text: str | None) -> float | None:
    """An HTTP date as Unix time in seconds; None if it is none."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    # HTTP dates are GMT (RFC 9110 section 5.6.7): one without a zone is not this machine's local time.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def age_at_reply(created: float | None, date: str | None) -> float:
    """Seconds since the task was created, both moments on the service's clock; 0 where it does not say.

    `created: 0` does not say: it is what a gateway sends that never filled the field in.
    """
    now = parse_date(date)
    if now is None or created is None or created <= 0:
        return 0.0
    return max(0.0, now - created)
