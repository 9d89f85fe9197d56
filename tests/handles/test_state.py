"""The life of a handle as a table."""

from __future__ import annotations

import itertools

import pytest

from foxapi_async._errors import FoxError
from foxapi_async._handles.state import (
    REMOTELY_OVER,
    TRANSITIONS,
    Signal,
    State,
    advance,
    mermaid,
)

FINAL = [state for state in State if state is not State.WAITING]


@pytest.mark.parametrize("signal", Signal)
def test_waiting_handles_every_signal(signal):
    """A waiting handle has a transition for every signal."""
    assert isinstance(advance(State.WAITING, signal), State)


@pytest.mark.parametrize(("state", "signal"), list(itertools.product(FINAL, Signal)))
def test_final_states_accept_nothing(state, signal):
    """A handle that is over never changes; the refusal names both."""
    with pytest.raises(FoxError) as caught:
        advance(state, signal)

    assert state.name in str(caught.value)
    assert signal.name in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_every_state_is_reached():
    """A signal leads to every state in the list."""
    reached = {target for moves in TRANSITIONS.values() for target in moves.values()}

    assert set(State) == reached


def test_only_the_service_ends_a_task():
    """The local signals end a handle without claiming that the task is over."""
    local = {Signal.DEADLINE, Signal.STOP, Signal.CLOSE, Signal.REFUSAL}

    assert {Signal.COMPLETED, Signal.FAILURE, Signal.CANCELLATION} == REMOTELY_OVER
    assert all(advance(State.WAITING, signal) is not State.WAITING for signal in local)


def test_the_diagram_shows_the_whole_table():
    """The Mermaid diagram has a line for every transition, and an end for every final state."""
    lines = mermaid().splitlines()

    assert lines[0] == "stateDiagram-v2"
    for source, moves in TRANSITIONS.items():
        for signal, target in moves.items():
            arrow = f"{source.value} --> {target.value}: {signal.value}".replace("timed out", "timed_out")
            assert f"    {arrow}" in lines
    ends = {line.split()[0] for line in lines if line.endswith("--> [*]")}
    assert {state.value.replace(" ", "_") for state in FINAL} == ends
    assert len(lines) == 2 + sum(map(len, TRANSITIONS.values())) + len(FINAL)
