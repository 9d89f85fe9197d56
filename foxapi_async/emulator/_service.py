"""The service without HTTP: tasks, money, files and the record of requests.

Everything here is synchronous, so no other request runs between two steps of a decision.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from . import _bodies, _tasks
from ._clock import Clock
from ._faults import Fault
from ._images import Gallery, usable_format
from ._media import EXTENSIONS
from ._refusal import RefusalError
from ._scene import Format, Picture
from ._script import About, Script
from ._sizes import asked_size
from ._tasks import Progress, Results, Task
from ._uploads import Uploads

# A load test may send millions of requests. The record keeps the latest.
_MOST_RECORDS = 200_000
# Result URLs work for 24 hours. The service does not say from which moment. Here it is the end of the task.
_RESULT_SECONDS = 24 * 3600


@attrs.frozen(kw_only=True)
class RequestRecord:
    """One request as it arrived."""

    method: str
    "The HTTP method."
    path: str
    "The path with its query, as it was sent."
    headers: tuple[str, ...]
    "The names of the headers, in lower case; never their values."
    authorized: bool
    "Whether it had an `Authorization` header, on any route."
    connection: int
    "The number of its TCP connection, counted from 1."
    when: float
    "When it arrived, in seconds of the loop."


@attrs.frozen(kw_only=True)
class Options:
    """The settings of an emulator: the arguments of `Emulator` without its address."""

    seconds: float | None
    faults: tuple[Fault, ...]
    key: str | None
    seed: int
    progress: Progress
    idempotent: bool
    results: Results
    models: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise ValueError(f"seconds={self.seconds} must be a finite number, zero or more")
        if self.progress not in ("linear", "steps", "none"):
            raise ValueError(f"progress={self.progress!r} is none of linear, steps, none")
        if self.results not in ("objects", "urls"):
            raise ValueError(f"results={self.results!r} is none of objects, urls")


class Service:
    """The data of the server."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.key = options.key or f"sk-{secrets.token_hex(24)}"
        self.clock = Clock()
        self.script = Script(options.faults, options.seed, self.clock.age)
        self.gallery = Gallery()
        self.uploads = Uploads()
        self.tasks: dict[str, Task] = {}
        self.requests: list[RequestRecord] = []
        self.connections = 0
        self.billed = 0
        self.billed_images = 0
        self._by_key: dict[str, tuple[str, Task]] = {}

    def record(self, record: RequestRecord) -> None:
        """Note a request. If there are too many, drop the older half."""
        self.requests.append(record)
        if len(self.requests) > _MOST_RECORDS:
            del self.requests[: _MOST_RECORDS // 2]

    def accept(self, path: str, body: dict[str, Any], key: str | None) -> tuple[Task, bool]:
        """Accept and bill a checked body, or find the task that this idempotency key already made.

        Returns:
            The task, and whether it is a replay.

        Raises:
            RefusalError: 422 if the key was used before with another body.
        """
        request_text = _request_text(path, body)
        if self.options.idempotent and key is not None and key in self._by_key:
            known, task = self._by_key[key]
            if known != request_text:
                raise RefusalError(
                    422, "Idempotency-Key: used before with another body", "idempotency_key_reused"
                )
            return task, True
        task = self._create(path, body, key)
        if self.options.idempotent and key is not None:
            self._by_key[key] = request_text, task
        return task, False

    def adopt(self, task_id: str, path: str, body: dict[str, Any], key: str | None) -> None:
        """Add a task with an id from another emulator. It is accepted now, and not billed here.

        Raises:
            ValueError: the id is in use, or the service would refuse the request.
        """
        if task_id in self.tasks:
            raise ValueError(f"the emulator has a task {task_id!r} already")
        if path not in _bodies.MEDIA:
            raise ValueError(f"{path} is not a generation endpoint")
        try:
            _bodies.check(path, body, self.options.models)
        except RefusalError as refusal:
            raise ValueError(str(refusal)) from None
        task = self._make_task(task_id, len(self.tasks) + 1, path, body, key)
        self.tasks[task_id] = task
        if self.options.idempotent and key is not None:
            self._by_key[key] = _request_text(path, body), task

    def _create(self, path: str, body: dict[str, Any], key: str | None) -> Task:
        self.billed += 1
        created = int(self.clock.unix())
        task_id = _tasks.task_id(_bodies.MEDIA[path], created, self.options.seed, self.billed)
        task = self._make_task(task_id, self.billed, path, body, key)
        self.billed_images += task.num_outputs
        self.tasks[task.id] = task
        return task

    def _make_task(self, task_id: str, number: int, path: str, body: dict[str, Any], key: str | None) -> Task:
        """A task that begins now. Its `number` decides how long it takes."""
        options = self.options
        return Task(
            id=task_id,
            media=_bodies.MEDIA[path],
            model=body["model"],
            body=body,
            accepted=self.clock.now(),
            created=int(self.clock.unix()),
            duration=_tasks.draw_duration(options.seconds, options.seed, number),
            estimated_time=_tasks.estimate(options.seconds),
            num_outputs=_bodies.outputs(body),
            extension=_extension(_bodies.MEDIA[path].type, body),
            fault=self.script.take("task", About(body["model"], _bodies.prompt_of(body))),
            idempotency_key=key,
        )

    def poll(self, task: Task, origin: str) -> dict[str, Any]:
        """The reply to a poll of a task."""
        task.polls += 1
        reply = _tasks.poll_reply(task, self.clock.now(), self.options.progress, origin, self.options.results)
        if reply["status"] != "completed":
            return reply
        fault = self.script.take("result", About(task.model, task.prompt))
        return reply if fault is None else fault.apply_to(reply, _tasks.file_names(task, origin))

    def find_file(self, task: Task, name: str) -> int | None:
        """The index of the result with this file name, if it exists and has not expired."""
        stem, _, extension = name.partition(".")
        now = self.clock.now()
        known = extension == task.extension and stem in {str(n) for n in range(task.num_outputs)}
        if not known or _tasks.status(task, now) != "completed":
            return None
        if now - task.accepted - task.duration >= _RESULT_SECONDS:
            return None
        return int(stem)

    def picture(self, task: Task, index: int) -> Picture:
        """The picture with this index of an image task."""
        width, height = asked_size(task.body, lambda url: self.uploads.measure(url, self.clock.now()))
        return Picture(
            prompt=task.prompt,
            caption=f"{task.model}   {index + 1} / {task.num_outputs}   {width} x {height}",
            index=index,
            width=width,
            height=height,
            format=_format(task.body),
            edited=bool(task.body.get("image_urls")),
        )


def _request_text(path: str, body: Mapping[str, Any]) -> str:
    """A text that is equal for equal requests to the same endpoint."""
    return path + json.dumps(body, sort_keys=True)


def _extension(kind: str, body: Mapping[str, Any]) -> str:
    return EXTENSIONS.get(kind) or _format(body)


def _format(body: Mapping[str, Any]) -> Format:
    # The Grok page says that jpeg is the default. The Gemini page names no default, and png loses nothing.
    default: Format = "jpg" if body["model"] == "grok-imagine-image" else "png"
    return usable_format(body.get("output_format"), default)
