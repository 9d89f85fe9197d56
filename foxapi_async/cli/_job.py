"""Runs the tasks of one command in a session, shows their progress, and prints the ids of unfinished tasks."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import attrs

from foxapi_async._client.hooks import HookEvent, Submitted, Submitting
from foxapi_async._client.session import FoxSession
from foxapi_async._errors import FoxError, UnreadableResultError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult, save_as
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._options import UNSET, Timeout
from foxapi_async._wire.results import is_inside, texts_in
from foxapi_async._wire.texts import counted, duration, elided, grouped
from foxapi_async.cli import _exits
from foxapi_async.cli._messages import report, resume_command
from foxapi_async.cli._progress import TaskProgress
from foxapi_async.cli._running import open_service
from foxapi_async.cli._screen import Screen
from foxapi_async.models import GenerationRequest

Work = Callable[["TaskCommand", FoxSession], Awaitable[int]]

_PROMPT_CHARACTERS = 40
# What the files of a task are, by its type.
_NOUNS = {"video": "video", "audio": "recording", "document": "document"}
# At most this many submits wait for their answers at the same time. A batch begins with the same number.
_SUBMITS_AT_ONCE = 8


@attrs.frozen
class PromptJob:
    """One request of `generate`.

    Attributes:
        request: what is sent.
        name: the name for its images, with the fields `{id}` and `{n}`.
        label: its shortened prompt, which names it in messages; empty if the command has only one request.
    """

    request: GenerationRequest
    name: str
    label: str


class TaskCommand:
    """The tasks of one command.

    Args:
        args: the parsed options.
        screen: where it is shown.
        folder: where its images are saved.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """

    def __init__(self, args: Namespace, screen: Screen, folder: Path) -> None:
        self._folder = folder
        self._args = args
        self._screen = screen
        self._progress = TaskProgress(None if screen.live else screen.note)
        self._session = open_service(args, hooks=[self._on_event])
        self._unsaved: dict[str, None] = {}
        self._shown: set[str] = set()
        self._name = ""
        self._jobs: list[PromptJob] = []
        self._calls: dict[int, PromptJob] = {}
        self._job_of: dict[str, PromptJob] = {}
        self._turns = asyncio.Semaphore(_SUBMITS_AT_ONCE)
        self._refusal: FoxError | None = None
        self._unsent = 0

    async def in_session(self, work: Work) -> int:
        """Open a session with the service, or with an emulator made for this command, and run `work` in it."""
        async with self._session as fox:
            try:
                async with fox, self._screen.following(self._progress):
                    return await work(self, fox)
            except asyncio.CancelledError:
                if self._args.emulator:
                    self._screen.note("interrupted; the emulator's tasks end here, and nothing was billed")
                raise
            finally:
                self._show_unfinished(fox)

    @property
    def _timeout(self) -> Timeout:
        return UNSET if self._args.timeout is None else float(self._args.timeout)

    def _on_event(self, event: HookEvent) -> None:
        """Note the prompt of each task, and whether its images are ready. This also works after the command has stopped waiting."""
        if isinstance(event, Submitting):
            self._calls[event.call] = next(job for job in self._jobs if job.request is event.request)
        elif isinstance(event, Submitted):
            self._job_of[event.task_id] = self._calls[event.call]
        elif isinstance(event, TaskEvent) and event.final and event.snapshot.images:
            self._unsaved[event.task_id] = None

    async def generate(
        self, fox: FoxSession, requests: Sequence[GenerationRequest], names: Sequence[str]
    ) -> int:
        """Submit all requests at the same time, wait for them and save. Returns the exit status of the worst one.

        Args:
            fox: the open session.
            requests: what is sent.
            names: the name for the images of each, with the fields `{id}` and `{n}`.
        """
        labels = [""] if len(requests) == 1 else map(_label, requests)
        self._jobs = list(map(PromptJob, requests, names, labels))
        code = max(await asyncio.gather(*(self._generate_one(fox, job) for job in self._jobs)))
        if self._unsent:
            self._screen.error(f"not sent: {counted(self._unsent, 'more prompt')}")
        return code

    async def _generate_one(self, fox: FoxSession, job: PromptJob) -> int:
        """Submit the request, and show a row of progress until it is accepted. Then wait for its images, and save them."""
        request, row = job.request, f"submit {id(job.request)}"
        async with self._turns:
            if self._refusal is not None:
                self._unsent += 1
                return self._report(self._refusal, job)
            self._progress.begin(row, "uploading and sending" if request.local_files() else "sending")
            try:
                handle = await fox.submit(request, timeout=self._timeout)
            except FoxError as error:
                return self._report(error, job)
            finally:
                self._progress.end(row)
        submitted = f"submitted {handle.id} to {request.model}"
        self._screen.note(f"{submitted}: {job.label}" if job.label else submitted)
        return await self._finish_one(handle)

    def attach(self, fox: FoxSession, task_id: str) -> TaskHandle:
        """Wait for a task of an earlier run."""
        return fox.attach(task_id, timeout=self._timeout)

    async def finish(self, handles: Sequence[TaskHandle], name: str) -> int:
        """Wait for all tasks at once, and save their images under this name. Returns the exit status of the worst
        task.
        """
        self._name = name
        return max(await asyncio.gather(*map(self._finish_one, handles)))

    async def _finish_one(self, handle: TaskHandle) -> int:
        try:
            result = await self._follow(handle)
            name = self._name_of(handle.id)
            files = await save_as(result, self._folder, name, overwrite=self._args.overwrite)
        except FoxError as error:
            return self._report_task(error, handle.id)
        finally:
            self._progress.end(handle.id)
        self._unsaved.pop(result.task_id, None)
        self._deliver(result, [file.path for file in files])
        return _exits.DONE

    async def _follow(self, handle: TaskHandle) -> TaskResult:
        self._progress.begin(handle.id, handle.id)
        async for event in handle:
            self._progress.take(event)
        return await handle

    def _deliver(self, result: TaskResult, paths: list[Path]) -> None:
        for path in paths:
            self._screen.line(str(path))
        for line in _value_lines(result):
            self._screen.line(line)
        pairs = zip(paths, result.images, strict=True)
        job = self._job_of.get(result.task_id)
        self._screen.data(
            {
                "task_id": result.task_id,
                "model": result.model or None,
                "status": "completed",
                "files": [
                    {"path": str(path), "url": None if is_inside(image.url) else image.url}
                    for path, image in pairs
                ],
                **({"values": list(result.values)} if result.values else {}),
                "usage": dict(result.usage),
                "elapsed": round(result.elapsed, 3),
                **({"prompt": job.request.prompt} if job is not None else {}),
            }
        )
        cost = "" if result.credits is None else f", {grouped(result.credits)} credits"
        if self._args.emulator:
            cost = ", made by the emulator: nothing is billed"
        self._screen.note(f"{_made(result)} in {duration(result.elapsed)}{cost}")

    def _report(self, error: FoxError, job: PromptJob | None) -> int:
        """Report an error. If the service refuses the account, nothing more is sent, and people see this error once."""
        about, prompt = (job.label, job.request.prompt) if job is not None else ("", None)
        is_shown = False
        if isinstance(error, _exits.REFUSED_ACCOUNT):
            is_shown = type(error) is type(self._refusal)
            self._refusal, about = error, ""
        return report(error, self._screen, about=about, prompt=prompt, shown=is_shown, debug=self._args.debug)

    def _report_task(self, error: FoxError, task_id: str) -> int:
        """Report the error of a task, and how to resume it."""
        code = self._report(error, self._job_of.get(task_id))
        self._shown.add(task_id)
        if _exits.is_resumable(error) and not self._args.emulator:
            saving = task_id in self._unsaved or isinstance(error, UnreadableResultError)
            self._resume("finished, but not saved" if saving else "still running (and billed)", task_id)
        return code

    def _name_of(self, task_id: str) -> str:
        job = self._job_of.get(task_id)
        return self._name if job is None else job.name

    def _show_unfinished(self, fox: FoxSession) -> None:
        """Show the tasks that an interrupted command or an abandoned submit leaves, and how to resume them."""
        if self._args.emulator:
            return
        running = dict.fromkeys(handle.id for handle in fox.unfinished)
        for what, ids in (
            ("still running (and billed)", running),
            ("finished, but not saved", self._unsaved),
        ):
            for task_id in ids:
                if task_id not in self._shown:
                    self._resume(what, task_id)

    def _resume(self, what: str, task_id: str) -> None:
        # Some images of the task may have been saved already. Without --overwrite, their names are taken.
        overwrite = self._args.overwrite or task_id in self._unsaved
        name = None if self._args.name is None else self._name_of(task_id)
        command = resume_command(task_id, self._args.out, overwrite=overwrite, name=name)
        self._screen.error(f"{what}: {task_id}  resume: {command}")


def _value_lines(result: TaskResult) -> Iterator[str]:
    """The results that are not files: a text as it is, and any other as JSON."""
    for value in result.values:
        for text in [*texts_in([value])] or [json.dumps(value, ensure_ascii=False)]:
            yield from text.split("\n")


def _made(result: TaskResult) -> str:
    """The number and the kind of a task's results, in words."""
    if not result.images and result.values:
        return counted(len(result.values), "result")
    return counted(len(result.images), _NOUNS.get(str(result.raw.get("type")), "image"))


def _label(request: GenerationRequest) -> str:
    """The shortened prompt of one of several requests. It names the request in messages."""
    return f'"{elided(request.prompt or "", _PROMPT_CHARACTERS)}"'
