"""How the packages report: to the log, and to a listener, which gives notices to a session's hooks.

Each record of the log has an attribute `event`, one of `LogEvent`, and some have more:

===================  ================================================================================
event                what it reports
===================  ================================================================================
account_refused      the service refused the key or the balance: waiting submits fail
answered             the app of `foxapi_async.fastapi` answered with an error, and did not show the error's text
batch_begun          a worker of a cluster begins to work on a batch
batch_ended          a worker of a cluster has no more work on a batch
batch_of_others      a batch of a cluster belongs to another key or service than the worker's
comment_prompts      lines of a batch that may be comments are sent as prompts
database_back        the database of a cluster can be written again
database_changed     the database of a cluster is another one, or an older copy: all batches are paused
database_lost        the database of a cluster cannot be written, and nothing is sent
doubtful_field       a field of a request may be wrong, by facts that are not sure
edge_polls           something in front of the service answers polls
empty_input          the input file of a batch has no items
emulator_ended       tasks of the folder ended with the emulator of an earlier command
estimates_unsaved    the estimates could not be written
file_cut_off         a file was cut off on its way to a browser, or its client did not take it
files_outside        lines of a batch name files outside the folder of the input
generate_cancelled   `generate` was cancelled while its task runs (`task_id`)
hook_failed          a hook raised
hook_slow            a hook kept the loop waiting
id_kept              an id that could not be written is in the ledger now (`task_id`, `key`)
id_unkept            the id of a billed task could not be written (`task_id`, `key`, `folder`)
images_missing       a task gave fewer images than requested (`task_id`)
internal_error       a fault of this package
item_left_out        a worker of a cluster cannot make the request of an item (`key`)
item_unsaved         the end of an item could not be written to the ledger
key_unencrypted      the key travels over plain http
late_id              a submit was accepted after its caller had gone (`task_id`)
long_hold            the service asks for a long wait between polls
lost_submit          a submit whose caller has gone may be billed
no_worker            a batch of a cluster has no worker
odd_status           a task has results or an error, but a status that is not documented
price_exceeded       a submit of a batch cost more than was expected
request              an HTTP request to the page was answered
second_task          an item has two billed tasks (`task_id`, `key`)
submits_held         submits wait before the next try
submits_released     submits are sent again
unfinished           the session was closed while tasks run (`task_ids`)
unread_outcome       an outcome that is not read any more may be billed
worker_lost          a worker of a cluster sends no heartbeats, and was replaced
worker_started       a worker of a cluster begins
worker_stopped       a worker of a cluster was replaced, and stops
===================  ================================================================================
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal, Protocol

from foxapi_async._errors import FoxError

What = Literal["submit", "poll", "fetch", "upload", "download"]

LogEvent = Literal[
    "account_refused",
    "answered",
    "batch_begun",
    "batch_ended",
    "batch_of_others",
    "comment_prompts",
    "database_back",
    "database_changed",
    "database_lost",
    "doubtful_field",
    "edge_polls",
    "empty_input",
    "emulator_ended",
    "estimates_unsaved",
    "file_cut_off",
    "files_outside",
    "generate_cancelled",
    "hook_failed",
    "hook_slow",
    "id_kept",
    "id_unkept",
    "images_missing",
    "internal_error",
    "item_left_out",
    "item_unsaved",
    "key_unencrypted",
    "late_id",
    "long_hold",
    "lost_submit",
    "no_worker",
    "odd_status",
    "price_exceeded",
    "request",
    "second_task",
    "submits_held",
    "submits_released",
    "unfinished",
    "unread_outcome",
    "worker_lost",
    "worker_started",
    "worker_stopped",
]

# It has no handler of its own. If an application sets up no logging, Python shows warnings and errors on stderr.
log = logging.getLogger("foxapi_async")


def about(event: LogEvent, **fields: Any) -> dict[str, Any]:
    """The `extra` of a record: its event, and further fields."""
    return {"event": event, **fields}


class RareWarnings:
    """Warnings about all tasks: one from time to time is enough. Moments are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._quiet_until: dict[LogEvent, float] = {}

    def warn(self, event: LogEvent, now: float, text: str, *args: object, every: float = math.inf) -> None:
        """Log the warning, but only once in `every` seconds."""
        if now >= self._quiet_until.get(event, -math.inf):
            self._quiet_until[event] = now + every
            log.warning(text, *args, extra=about(event))


class Listener(Protocol):
    """Receives reports. A caller may have no listener. Durations are in seconds."""

    def on_retry(
        self,
        what: What,
        seconds: float,
        error: FoxError,
        *,
        task_id: str | None = None,
        call: int | None = None,
    ) -> None:
        """A request failed with `error` and is repeated after `seconds`. `call` is the number of its submit."""
        ...

    def on_throttle(self, what: What, seconds: float, error: FoxError | None) -> None:
        """Requests of one kind wait for `seconds`, because of the refusal `error` or of our own limit."""
        ...

    def on_saved(self, task_id: str | None, path: Path, sha256: str, size: int, seconds: float) -> None:
        """A whole file of `size` bytes is on disk. Fetching and writing it took `seconds`."""
        ...
