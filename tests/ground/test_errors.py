"""Errors: one root, nothing lost in a pickle or copy, and an error that may be repeated was not billed."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foxapi_async
from foxapi_async import _errors
from foxapi_async._errors import APIError, FoxError, InvalidRequestError, TaskError
from foxapi_async._handles.snapshot import TaskSnapshot
from foxapi_async._wire.replies import TaskProblem

CLASSES = sorted(
    (value for value in vars(_errors).values() if inspect.isclass(value) and issubclass(value, Exception)),
    key=lambda cls: cls.__name__,
)
BILLED_UNLESS_TOLD = {
    "UncertainSubmitError": "unknown",
    "TaskFailedError": "unknown",
    "TaskCancelledError": "unknown",
    "TaskError": "yes",
    "TaskTimeoutError": "yes",
    "TaskAbandonedError": "yes",
    "UnreadableResultError": "yes",
    "DownloadError": "yes",
}

maybe_text = st.none() | st.text()
VALUES = {
    "task_id": maybe_text,
    "charged": st.sampled_from([None, "no", "yes", "unknown"]),
    "retryable": st.booleans(),
    "local": st.booleans(),
    "hint": st.none() | st.sampled_from(_errors.Hint),
    "problems": st.lists(st.text(), max_size=3).map(tuple),
    "status": st.integers(100, 599),
    "type": maybe_text,
    "code": maybe_text,
    "detail": st.text(),
    "request_id": maybe_text,
    "retry_after": st.none() | st.floats(0, 1e6),
    "idempotency_key": maybe_text,
    "snapshot": st.none() | st.builds(TaskSnapshot, id=st.text(), error=st.builds(TaskProblem)),
    "url": maybe_text,
    "body": maybe_text,
    "last_poll": maybe_text,
    "saved": st.lists(st.builds(PurePosixPath, st.text()), max_size=2).map(tuple),
}


def keywords(cls: type) -> set[str]:
    """The keywords of a class's constructor and of its bases'."""
    inits = [base.__init__ for base in cls.__mro__ if issubclass(base, FoxError)]
    kinds = [parameter for init in inits for parameter in inspect.signature(init).parameters.values()]
    return {parameter.name for parameter in kinds if parameter.kind is parameter.KEYWORD_ONLY}


@st.composite
def errors(draw: st.DrawFn) -> FoxError:
    cls = draw(st.sampled_from(CLASSES))
    names = draw(st.sets(st.sampled_from(sorted(keywords(cls)))))
    return cls(draw(st.text()), **{name: draw(VALUES[name]) for name in sorted(names)})


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_inherits_fox_error(cls):
    """Every error inherits FoxError, is exported and says what it means."""
    assert issubclass(cls, FoxError)
    assert getattr(foxapi_async, cls.__name__) is cls
    assert cls.__name__ in foxapi_async.__all__
    assert cls.__doc__


def test_no_foreign_exception_is_exported():
    """Every exported exception is a FoxError."""
    exported = [getattr(foxapi_async, name) for name in foxapi_async.__all__]
    raisable = [value for value in exported if inspect.isclass(value) and issubclass(value, BaseException)]

    assert set(CLASSES) == set(raisable)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_charged_by_default(cls):
    """The class decides whether something is billed, unless the call says otherwise."""
    assert BILLED_UNLESS_TOLD.get(cls.__name__, "no") == cls().charged
    assert cls().task_id == ("" if issubclass(cls, TaskError) else None)
    assert cls().retryable is False


@given(errors())
def test_what_is_retryable_was_not_billed(error):
    """However an error is made, `retryable` implies `charged == "no"`."""
    assert error.charged == "no" or not error.retryable


@given(errors(), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_pickle_keeps_everything(error, protocol):
    """An unpickled error has the class, text and every attribute of the original."""
    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(error) is type(again)
    assert str(error) == str(again)
    assert vars(error) == vars(again)


@given(errors(), st.sampled_from([copy.copy, copy.deepcopy]))
def test_copies_keep_everything(error, make_copy):
    """A copied error is another object with the class, text and every attribute of the original."""
    again = make_copy(error)

    assert again is not error
    assert type(error) is type(again)
    assert str(error) == str(again)
    assert vars(error) == vars(again)


def test_a_copy_leaves_the_traceback_behind():
    """Each waiter raises a copy, so that neither traceback, cause nor context is copied."""
    error = FoxError("outer")
    error.__context__, error.__cause__ = KeyError("inner"), ValueError("cause")
    with pytest.raises(FoxError) as caught:
        raise error
    again = copy.copy(caught.value)

    assert (again.__traceback__, again.__cause__, again.__context__) == (None, None, None)


def test_invalid_requests_are_value_errors():
    """An InvalidRequestError is caught by `except ValueError`, and lists its problems."""
    error = InvalidRequestError("2 problems", problems=("a", "b"))

    assert isinstance(error, ValueError)
    assert error.problems == ("a", "b")
    assert InvalidRequestError("one").problems == ("one",)
    assert InvalidRequestError().problems == ()


def test_a_headline_stands_before_its_problems():
    """The text of a refusal is its headline and the first twenty problems; a single problem is the text itself."""
    problems = [f"p{n}" for n in range(22)]

    assert (
        str(InvalidRequestError("p.jsonl is wrong", problems=["a", "b"]))
        == "p.jsonl is wrong: 2 problems: a; b"
    )
    assert InvalidRequestError("p.jsonl is wrong", problems=["a"]).headline == "p.jsonl is wrong"
    assert InvalidRequestError(problems=["a"]).headline == ""
    assert str(InvalidRequestError(problems=problems)).endswith("; p19; and 2 more")


def test_a_problem_knows_its_fields():
    """A line of `problems` is a text that knows where it names fields."""
    problem = _errors.FieldProblem("size", "='size': not with ", "image")

    assert problem == "size='size': not with image"
    assert _errors.parts_of(problem) == ("size", "='size': not with ", "image")


def test_a_plain_problem_names_no_field():
    """A plain text among the problems is a line that is about no field."""
    assert _errors.parts_of("size") == ("", "size")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("parts", [("",), ("size", "='\u202e': not with ", "image")])
def test_pickle_keeps_the_fields_of_a_problem(parts, protocol):
    """A line of `problems` still knows its fields, what is wrong, and its hint in another process."""
    options = {"type": "needs", "values": {"other": "image"}, "hint": _errors.Hint.WRAP_FILE}
    problem = _errors.FieldProblem(*parts, **options)

    for copied in (pickle.loads(pickle.dumps(problem, protocol)), copy.deepcopy(problem)):
        assert (copied, copied.parts) == (problem, parts)
        assert {name: getattr(copied, name) for name in options} == options


@pytest.mark.parametrize("hint", sorted(_errors.PYTHON_WORDS, key=lambda hint: hint.value))
def test_a_hint_is_worded_after_what_happened(hint):
    """The text of an error says what happened, then what can be done; without the hint it ends before that."""
    error = FoxError("it broke", hint=hint, task_id="t-1")

    assert error.what_happened == "it broke"
    assert str(error).startswith("it broke; ")
    assert "{" not in str(error)
    assert FoxError(hint=hint, task_id="t-1").what_happened == ""


def test_a_hint_names_the_task():
    """The advice to look again names the task's id as Python would write it."""
    error = FoxError("gone", hint=_errors.Hint.RESUME_TASK, task_id="t{0}'")

    assert str(error) == """gone; attach("t{0}'") waits for it again"""


def test_a_hint_without_words_adds_nothing():
    """A failed connection can be told apart by its hint; its text is what happened alone."""
    error = _errors.ConnectionFailedError("no route")

    assert (str(error), error.hint) == ("no route", _errors.Hint.CHECK_NETWORK)


def test_task_timeouts_are_no_timeout_errors():
    """Retry layers that repeat a TimeoutError would bill again, so a TaskTimeoutError is not one."""
    assert not issubclass(_errors.TaskTimeoutError, TimeoutError)
    assert issubclass(_errors.TaskTimeoutError, TaskError)


def test_the_message_is_the_services_own():
    """`.message` is the service's text; an error without one has its own text there."""
    assert APIError("HTTP 400: no", detail="no").message == "no"
    assert APIError("HTTP 400").message == "HTTP 400"
    assert _errors.TaskFailedError("task x failed: no", detail="no").message == "no"
    assert _errors.TaskFailedError("task x failed").message == "task x failed"
