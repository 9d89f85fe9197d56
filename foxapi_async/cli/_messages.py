"""Shows errors and the log on the command line: one plain line each, with advice in the words of a shell."""

from __future__ import annotations

import contextlib
import copy
import logging
import shlex
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from foxapi_async._errors import FoxError, InvalidRequestError
from foxapi_async._hints import NEWER_ADDRESS, OWN_AUTHORITY, Hint, with_hint
from foxapi_async.cli import _exits

if TYPE_CHECKING:
    from foxapi_async.cli._screen import Screen

# A hint that is not here needs no words: the command itself shows how to resume a task.
SHELL_WORDS: dict[Hint, str] = {
    Hint.ALLOW_HTTP: "use https, or allow http with FOXAPI_ALLOW_HTTP=1",
    Hint.CHECK_ACCOUNT: "check your account before you send it again",
    Hint.CHECK_ADDRESS: "check FOXAPI_BASE_URL",
    Hint.CHECK_CERTIFICATES: OWN_AUTHORITY,
    Hint.CHECK_NETWORK: "check the network and FOXAPI_BASE_URL",
    Hint.EXPECT_ID: "if the task's id still arrives, it is shown with the command that resumes the task",
    Hint.GIVE_FORMAT: "use --format",
    Hint.GIVE_PRICE: "use --price",
    Hint.GIVE_TASK_ID: "give the id that `foxapi generate` printed",
    Hint.KEEP_EXTRA: "to keep such columns beside the requests, use --extra keep",
    Hint.OTHER_FOLDER: "choose another --out",
    Hint.OTHER_NAME: "choose another --out",
    Hint.OTHER_ORIGIN: "go back to that address, or use --other-origin",
    Hint.OTHER_PORT: "give another with --port, or --port 0 for any free one",
    Hint.OVERWRITE: "choose another --out, or use --overwrite",
    Hint.REBUILD_LEDGER: "put the right ledger back, or make it again from submitted.jsonl and manifest.jsonl with --rebuild-ledger",
    Hint.RESUBMIT_UNCERTAIN: "it is not sent again without --resubmit-uncertain",
    Hint.RUN_AGAIN: "then run the same command again: it continues where it stopped",
    Hint.SEND_RAW: "to send a field unchecked, use --param KEY=VALUE with the model's endpoint as --path",
    Hint.SERVICE_MOVED: f"check the network; if that works, try FOXAPI_BASE_URL={NEWER_ADDRESS}, the service's newer address",
    Hint.SET_BASE_URL: "change FOXAPI_BASE_URL",
    Hint.SET_KEY: "set FOXAPI_API_KEY, or use --emulator, which needs no key",
    Hint.SET_PROXY: "correct this variable (http://host:port or http://user:password@host:port), or unset it",
    Hint.USE_DATABASE: "use --dsn with the address of that database",
}
_DETAILS = ("status", "code", "request_id", "retry_after", "url", "idempotency_key")

# The command itself shows the ids that still run, and reports a refused account.
_SHOWN_ANYWAY = {"account_refused", "generate_cancelled", "late_id", "unfinished"}
# These concern hooks, which only a program has.
_FOR_PROGRAMS = {"hook_slow"}
# A batch shows these once for all of its items, at its end.
_SHOWN_AT_THE_END = {"lost_submit", "unread_outcome"}
_CALM_SECONDS = 10.0
# The work of a worker. These lines are not warnings.
_WORK = {"batch_begun", "batch_ended", "worker_started"}


class Hinted(Protocol):
    """What happened, with a hint: an error, or the reason of a pause."""

    @property
    def what_happened(self) -> str:
        """The text without the hint."""
        ...

    @property
    def hint(self) -> Hint | None:
        """What can be done."""
        ...


def message_of(problem: Hinted) -> str:
    """The error in one line, in terms of the command line."""
    return with_hint(problem.what_happened, problem.hint, SHELL_WORDS) or type(problem).__name__


def object_of(error: FoxError, prompt: str | None = None) -> dict[str, Any]:
    """The error as `--json` prints it, with the prompt that it concerns, if known."""
    shown: dict[str, Any] = {
        "type": type(error).__name__,
        "message": message_of(error),
        "task_id": error.task_id,
        "charged": error.charged,
        "retryable": error.retryable,
    }
    if isinstance(error, InvalidRequestError):
        shown["problems"] = list(error.problems)
    details = {name: getattr(error, name, None) for name in _DETAILS}
    # `type` is the name of the class here, so the service's own `type` gets another name.
    details["service_type"] = getattr(error, "type", None)
    details["prompt"] = prompt
    return {"error": shown | {name: value for name, value in details.items() if value is not None}}


def report(
    error: FoxError,
    screen: Screen,
    *,
    about: str = "",
    prompt: str | None = None,
    shown: bool = False,
    debug: bool = False,
) -> int:
    """Report an error, to people and with `--json` to programs. Returns the exit status.

    Args:
        error: the error.
        screen: where it is shown.
        about: what it concerns, if the command works on several things and the error does not name one.
        prompt: the prompt of the request that it concerns, if known.
        shown: people have seen the same message already, so only programs get it.
        debug: show its traceback.
    """
    if not shown:
        screen.error(f"{about}: {message_of(error)}" if about else message_of(error))
    screen.data(object_of(error, prompt))
    if debug:
        screen.trace(error)
    return _exits.status_of(error)


def resume_command(task_id: str, out: str, *, overwrite: bool = False, name: str | None = None) -> str:
    """The command that waits for a task again."""
    options = ["--out", out, *([f"--name={name}"] if name else []), *(["--overwrite"] if overwrite else [])]
    # An id that begins with a dash would be read as an option.
    rest = [*options, "--", task_id] if task_id.startswith("-") else [task_id, *options]
    return shlex.join(["foxapi", "wait", *rest])


class _LogLines(logging.Handler):
    """The package's log on standard error: one plain line for each record, never a traceback.

    Args:
        screen: where the lines go.
        hidden: events that are not shown.
        calm: whether a message about waiting submits is shown only once in ten seconds.
        remarks: events that are shown although they are no warnings; None for all.
    """

    def __init__(self, screen: Screen, hidden: set[str], *, calm: bool, remarks: set[str] | None) -> None:
        super().__init__()
        self._remarks = remarks
        self._screen = screen
        self._hidden = hidden
        self._calm_seconds = _CALM_SECONDS if calm else 0.0
        self._last_held = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        is_remark = record.levelno < logging.WARNING
        if event in self._hidden or (is_remark and self._remarks is not None and event not in self._remarks):
            return
        if event == "submits_held":
            if record.created - self._last_held < self._calm_seconds:
                return
            self._last_held = record.created
        if isinstance(record.args, tuple):
            record = copy.copy(record)
            record.args = tuple(message_of(x) if isinstance(x, FoxError) else x for x in record.args or ())
        (self._screen.note if event in _WORK else self._screen.error)(record.getMessage())
        if event == "id_unkept":  # on both streams: one of them may be a file on the full disk
            fields = vars(record)
            command = resume_command(fields["task_id"], str(fields["folder"]))
            self._screen.error(f"keep this id: {command}")
            self._screen.line(command)
            unkept = {"id": fields["key"], "task_id": fields["task_id"], "resume": command}
            self._screen.data({"unkept": unkept})


@contextlib.contextmanager
def logging_to(
    screen: Screen, *, verbose: bool, calm: bool = False, shows_work: bool = False
) -> Generator[None]:
    """Show warnings of the package, and with `verbose` also what it does, while the block runs.

    With `calm`, a message that concerns many items is not shown for each of them. With `shows_work`, the batches
    of a worker are shown.
    """
    log = logging.getLogger("foxapi_async")
    hidden = _SHOWN_ANYWAY | _FOR_PROGRAMS | (_SHOWN_AT_THE_END if calm else frozenset[str]())
    remarks = None if verbose else _WORK if shows_work else set[str]()
    handler = _LogLines(screen, hidden, calm=calm, remarks=remarks)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if verbose or shows_work else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
