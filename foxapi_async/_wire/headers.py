"""Reads a reply's headers: the time of the service's clock, and a task's age by this clock."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_date(text: str | None) -> float | None:
    """An HTTP date as Unix time in seconds; None if the text is not a date."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    # HTTP dates are GMT (RFC 9110 section 5.6.7), so a date without a zone is not local time.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def age_at_reply(created: float | None, date: str | None) -> float:
    """Seconds since the task was created, by the service's clock; 0 if the reply does not give both moments.

    `created: 0` counts as not given: a gateway sends it if it never filled in the field.
    """
    now = parse_date(date)
    if now is None or created is None or created <= 0:
        return 0.0
    return max(0.0, now - created)
