"""The headers of replies: the service's clock, and the age of a task by it."""

from __future__ import annotations

import math
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import NOW

from foxapi_async._wire.headers import age_at_reply, parse_date


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.0),
        ("Thu, 01 Jan 1970 01:00:10 +0100", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 -0000", 10.0),
        ("Thu, 01 Jan 1970 00:00:10", 10.0),
        ("Thursday, 01-Jan-70 00:00:10 GMT", 10.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None),
        ("Thu, 01 Jan 99999999999 00:00:10 GMT", None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_dates_are_gmt(text, seconds, zone, monkeypatch):
    """An HTTP date is GMT in every local time zone; a text that is not a date is None."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert seconds == parse_date(text)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"] != "Asia/Shanghai"


@given(
    st.text()
    | st.lists(
        st.sampled_from(["Mon,", "01", "Jan", "2024", "00:00:00", "GMT", "-0000", ".", ":", "+9999", "0"])
    ).map(" ".join)
)
def test_any_text_is_a_date_or_none(text):
    """No header makes the date reader fail."""
    seconds = parse_date(text)

    assert seconds is None or math.isfinite(seconds)


@pytest.mark.parametrize(
    ("created", "date", "age"),
    [
        (1754380770, NOW, 30.0),
        (1754380800, NOW, 0.0),
        (1754380900, NOW, 0.0),
        (None, NOW, 0.0),
        (0, NOW, 0.0),
        (-5, NOW, 0.0),
        (1754380770, None, 0.0),
        (1754380770, "soon", 0.0),
        (1754380770000, NOW, 0.0),
    ],
)
def test_the_age_is_the_services_own(created, date, age):
    """Age is `Date` minus `created`, both by the service's clock; 0 if either is missing, unset or in the future."""
    assert age == age_at_reply(created, date)
