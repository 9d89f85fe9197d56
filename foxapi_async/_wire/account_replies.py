"""Reads the service's replies about the account: its credits, and the models that the key may call.

FoxAPI has a page about credits, but its fields are not known. EvoLink, a gateway with the same API, answers with
`{data: {token: {remaining_credits, unlimited_credits, used_credits}, user: {remaining_credits, used_credits}}}`
(docs.evolink.ai, get-credits). So a number is read under any of the usual names, and `raw` keeps the whole reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.json_values import (
    JsonValue,
    Raw,
    excerpt,
    read_mapping,
    read_number,
    read_object,
    read_text,
)
from foxapi_async._wire.requests import Reply
from foxapi_async._wire.texts import shorten

_REMAINING = (
    *("remaining_credits", "credits_remaining", "remaining"),
    *("available_credits", "credits_available", "available", "credit_balance", "balance", "credits"),
)
_UNLIMITED = "unlimited_credits", "unlimited_quota", "unlimited"
_OWNERS = "user", "account", "token"


def _shown(raw: Raw) -> str:
    return shorten(repr(raw))


@attrs.frozen(kw_only=True)
class AccountCredits:
    """The credits of the key and of its account, as the service states them.

    Attributes:
        remaining: the credits that the key can still use. If the reply has a number for the key and one for the
            account, it is the lower one. The number of a key without a limit does not count. None if the reply has
            no other number under a usual name.
        raw: the whole reply. Its fields are not documented.
    """

    remaining: float | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=_shown, hash=False)


def read_credits(reply: Reply) -> AccountCredits:
    """The credits in the reply to a read of the account.

    Raises:
        ResponseDecodeError: the reply is unreadable, is empty or says that it failed.
    """
    raw = read_object(reply)
    if not raw or raw.get("error") or raw.get("success") is False:
        raise ResponseDecodeError(f"HTTP {reply.status} with an answer that has no credits; {excerpt(reply)}")
    stated = [number for place in _places(raw) if (number := _remaining_in(place)) is not None]
    return AccountCredits(remaining=min(stated, default=None), raw=raw)


def _places(raw: Raw) -> Iterator[Raw]:
    """The objects that may state the credits: the reply, its `data`, and in each of them the key and the account."""
    for outer in (raw, read_mapping(raw.get("data"))):
        if outer is not None:
            yield outer
            yield from (inner for name in _OWNERS if (inner := read_mapping(outer.get(name))) is not None)


def _remaining_in(place: Raw) -> float | None:
    """The credits that one object states; None if it states none, or that there is no limit."""
    if any(place.get(name) is True for name in _UNLIMITED):
        return None
    numbers = (read_number(place.get(name)) for name in _REMAINING)
    return next((number for number in numbers if number is not None), None)


def read_models(reply: Reply) -> tuple[str, ...]:
    """The ids in the reply to a read of the models, in its order. An entry without an id is left out.

    Raises:
        ResponseDecodeError: the reply is unreadable or has no list.
    """
    rows: JsonValue = read_object(reply).get("data")
    if not isinstance(rows, list):
        raise ResponseDecodeError(f"HTTP {reply.status} with an answer that has no models; {excerpt(reply)}")
    ids = (read_text(row.get("id")) for row in rows if isinstance(row, dict))
    return tuple(model for model in ids if model)
