"""The kind of an item's problem. The page has advice for each kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from foxapi_async.report._figures import state_of
from foxapi_async.report._manifest import ReportItem

# The service may send codes that are not known here. Its own example of refused content has only a message.
_CONTENT = re.compile(r"content|policy|moderat|safety|nsfw|sensitive|violation", re.IGNORECASE)
_BY_CODE = {
    **dict.fromkeys(
        (
            "model_not_found",
            "model_not_supported",
            "model_not_support_capability",
            "no_available_model",
            "no_compatible_channel",
        ),
        "model",
    ),
    **dict.fromkeys(
        (
            "PayloadTooLargeError",
            "file_too_large",
            "invalid_file_type",
            "invalid_image_url",
            "unsupported_content_type",
        ),
        "input",
    ),
    **dict.fromkeys(
        (
            "AuthenticationError",
            "InsufficientQuotaError",
            "PermissionDeniedError",
            "insufficient_quota",
            "insufficient_user_quota",
        ),
        "account",
    ),
    "NotFoundError": "gone",
    "TaskCancelledError": "cancelled",
    "UnreadableResultError": "unreadable",
}


def kind_of(item: ReportItem) -> str | None:
    """The kind of a problem; None if there is none."""
    state = state_of(item.status)
    if state == "done" or (state == "other" and not item.code):
        return None
    if item.code in _BY_CODE:
        return _BY_CODE[item.code]
    if state != "failed":
        return state
    if _CONTENT.search(item.code) or _CONTENT.search(item.message):
        return "content"
    return "failed" if item.task_id else "request"


def problems_of(items: Iterable[ReportItem]) -> list[tuple[str, list[ReportItem]]]:
    """The items with a problem, by its kind, the most frequent first."""
    groups: dict[str, list[ReportItem]] = {}
    for item in items:
        if (kind := kind_of(item)) is not None:
            groups.setdefault(kind, []).append(item)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
