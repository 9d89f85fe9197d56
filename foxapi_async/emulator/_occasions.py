"""The occasions of faults: the kinds of fault that fit each occasion, and the message for a wrong pair."""

from difflib import get_close_matches
from typing import Literal, get_args

On = Literal["submit", "poll", "upload", "file", "other", "all", "task", "result"]
Request = Literal["submit", "poll", "upload", "file", "other", "all"]
Kind = Literal[
    "status",
    "redirect",
    "cut",
    "stale",
    "slow",
    "hang",
    "garbage",
    "short",
    "huge",
    "bomb",
    "drip",
    "freeze",
    "never",
    "fail",
    "altered",
    "headers",
]

_REQUESTS: tuple[str, ...] = get_args(Request)
_OTHERS: dict[str, tuple[str, ...]] = {
    "never": ("task",),
    "fail": ("task",),
    "altered": (*_REQUESTS, "result"),
}
# Common words for the same things.
_ELSEWHERE = {
    **dict.fromkeys(("download", "image", "result_file", "save"), "file"),
    **dict.fromkeys(("fetch", "get", "read", "status"), "poll"),
    **dict.fromkeys(("create", "generate", "post"), "submit"),
    **dict.fromkeys(("any", "every", "*"), "all"),
}


def problem_of(on: object, kind: object) -> str | None:
    """What is wrong with a fault of this kind on this occasion; None if it can happen."""
    if kind not in get_args(Kind):
        return f"no such fault: kind={kind!r}; the kinds are {_listed(get_args(Kind))}{_meant(kind, get_args(Kind))}"
    fitting = _OTHERS.get(str(kind), _REQUESTS)
    if on in fitting:
        return None
    return f"no such fault: {kind!r} on={on!r}; on= takes {_listed(fitting)}{_meant(on, fitting)}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def _meant(name: object, names: tuple[str, ...]) -> str:
    """A question with the name that was probably meant; empty if there is none."""
    known = _ELSEWHERE.get(str(name).lower())
    close = [known] if known in names else get_close_matches(str(name).lower(), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
