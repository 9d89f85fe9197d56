"""The life of a handle as a table: which signal moves it from which state to which.

Rule 1: every transition is in the table below. No other code in the package compares statuses to decide
whether a handle is over. Rule 2: this file does not know where a signal comes from.

A handle begins WAITING. Replies about the task either leave it WAITING or end it as the service says. The
four local signals end only the handle: the remote task continues and stays billed. `docs/guarantees.md` shows
the picture that `mermaid` makes from the table, and a test checks that they agree.

The statuses are those of docs.foxapi.cc get-task-detail: pending, processing, completed, failed, and
`cancelled` from its older version. Any other status counts as still running, because the service may add
some.
"""

from __future__ import annotations

import enum

from foxapi_async._errors import FoxError


class State(enum.Enum):
    """The state of a handle. All but WAITING are final."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    ABANDONED = "abandoned"
    REFUSED = "refused"


class Signal(enum.Enum):
    """The events of a handle: six kinds of reply about the task, and four local events."""

    RUNNING = "still running"
    EMPTY = "completed, results missing"
    COMPLETED = "completed"
    UNREADABLE = "completed, no result readable"
    FAILURE = "failed"
    CANCELLATION = "cancelled"
    DEADLINE = "deadline"
    STOP = "stop()"
    CLOSE = "session closed"
    REFUSAL = "poll refused"


TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.WAITING: {
        Signal.RUNNING: State.WAITING,
        # Observed: "completed" can come seconds before its results. It is not finished yet.
        Signal.EMPTY: State.WAITING,
        Signal.COMPLETED: State.SUCCEEDED,
        Signal.UNREADABLE: State.FAILED,
        Signal.FAILURE: State.FAILED,
        Signal.CANCELLATION: State.CANCELLED,
        Signal.DEADLINE: State.TIMED_OUT,
        Signal.STOP: State.ABANDONED,
        Signal.CLOSE: State.ABANDONED,
        Signal.REFUSAL: State.REFUSED,
    },
}

# The signals of statuses of the service, in lower case. Every other one, but "completed", is that of a running task.
SIGNALS = {"failed": Signal.FAILURE, "cancelled": Signal.CANCELLATION, "canceled": Signal.CANCELLATION}

REMOTELY_OVER = frozenset({Signal.COMPLETED, Signal.FAILURE, Signal.CANCELLATION})


def advance(state: State, signal: Signal) -> State:
    """The state after `signal`.

    Raises:
        FoxError: the table has no such transition. A handle that has ended does not change.
    """
    try:
        return TRANSITIONS[state][signal]
    except KeyError:
        pass
    raise FoxError(f"no transition from {state.name} by {signal.name}")


def mermaid() -> str:
    """The table as a state diagram in Mermaid's language."""
    lines = ["stateDiagram-v2", "    [*] --> waiting: submit or attach"]
    for source, moves in TRANSITIONS.items():
        for signal, target in moves.items():
            lines.append(f"    {_node(source)} --> {_node(target)}: {signal.value}")
    ends = (state for state in State if state not in TRANSITIONS)
    lines += [f"    {_node(state)} --> [*]" for state in ends]
    return "\n".join(lines)


def _node(state: State) -> str:
    return state.value.replace(" ", "_")
