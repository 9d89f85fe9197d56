"""The life of a task: a pure function of the time since it was accepted.

No background work is needed. A task is pending for the first tenth of its duration, then processing until its
end, then completed or failed.
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from ._bodies import Media, bare_name, prompt_of
from ._faults import Fault
from ._media import CONTENT_TYPES

Progress = Literal["linear", "steps", "none"]
Results = Literal["objects", "urls"]

# Image models take ten to twenty seconds. The service's estimate is usually too long.
_USUAL_SECONDS = 12.0
_PESSIMISM = 1.25
# Spread of the logarithm of durations: most tasks are within a quarter of the median.
_SIGMA = 0.25
_PENDING_SHARE = 0.1
# The words in every recording.
_SPOKEN = "the fox sleeps"
# From the documentation's example for one image.
CREDITS_PER_OUTPUT = 5
# The sister gateway reserves more credits than it uses in the end.
_CREDITS_USED_PER_OUTPUT = 4


@attrs.frozen(kw_only=True)
class TaskView:
    """The state of a task at one moment. Times are in seconds."""

    id: str
    "The task id."
    type: str
    "The kind of result: image, video, audio, llm or document."
    model: str
    "The model it was submitted to."
    body: Mapping[str, Any]
    "The request as it was received."
    status: str
    "pending, processing, completed or failed."
    progress: int
    "From 0 to 100."
    created: int
    "Unix time of acceptance."
    duration: float
    "How long it takes; infinite if it never finishes."
    estimated_time: float
    "The estimate in the submit reply."
    polls: int
    "How often its status was polled."
    num_outputs: int
    "How many results were billed."
    idempotency_key: str | None
    "The header of the submit, if there was one."


@attrs.define(kw_only=True)
class Task:
    """A task. Everything is fixed when it is accepted. Only the count of polls changes."""

    id: str
    media: Media
    model: str
    body: dict[str, Any]
    accepted: float
    created: int
    duration: float
    estimated_time: float
    num_outputs: int
    extension: str
    fault: Fault | None = None
    idempotency_key: str | None = None
    polls: int = 0

    @property
    def prompt(self) -> str:
        """The prompt, or an empty text."""
        return prompt_of(self.body)


def draw_duration(seconds: float | None, seed: int, number: int) -> float:
    """How long the task with this number takes: lognormal with `seconds` as its median."""
    # Reproducible random numbers for tests. They protect no secret.
    spread = random.Random(f"duration {seed} {number}").gauss(0.0, _SIGMA)  # noqa: S311
    return (_USUAL_SECONDS if seconds is None else seconds) * math.exp(spread)


def estimate(seconds: float | None) -> float:
    """The `estimated_time` of every task: whole seconds as in the documentation, or exact if tasks are short."""
    median = _USUAL_SECONDS if seconds is None else seconds
    return round(median * _PESSIMISM) if median >= 5 else round(median, 3)


def task_id(media: Media, created: int, seed: int, number: int) -> str:
    """An id in the service's form."""
    # Reproducible random numbers for tests. They protect no secret.
    letters = random.Random(f"id {seed} {number}").choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8)  # noqa: S311
    return f"task-{'llm' if media.type == 'llm' else 'unified'}-{created}-{''.join(letters)}"


def share(task: Task, now: float) -> float:
    """How much of the task is done, from 0 to 1."""
    elapsed = now - task.accepted
    if task.fault is not None and task.fault.kind == "never":
        # Approaches the end but never reaches it, even after a very long time.
        return min(elapsed / (elapsed + task.duration or 1.0), 0.99)
    return 1.0 if elapsed >= task.duration else elapsed / task.duration


def status(task: Task, now: float) -> str:
    """The status of the task."""
    done = share(task, now)
    if done >= 1:
        return "failed" if task.fault is not None and task.fault.kind == "fail" else "completed"
    return "pending" if done < _PENDING_SHARE else "processing"


def progress(task: Task, now: float, style: Progress = "linear") -> int:
    """The percentage that the service would show. It is 100 only at the end."""
    done = share(task, now)
    if done >= 1:
        return 100
    if style == "none":
        return 0
    percent = 100 * max(0.0, (done - _PENDING_SHARE) / (1 - _PENDING_SHARE))
    return min(int(percent), 99) if style == "linear" else int(percent) // 25 * 25


def view(task: Task, now: float, style: Progress) -> TaskView:
    """The state of the task at `now`."""
    never = task.fault is not None and task.fault.kind == "never"
    return TaskView(
        id=task.id,
        type=task.media.type,
        model=task.model,
        body=dict(task.body),
        status=status(task, now),
        progress=progress(task, now, style),
        created=task.created,
        duration=math.inf if never else task.duration,
        estimated_time=task.estimated_time,
        polls=task.polls,
        num_outputs=task.num_outputs,
        idempotency_key=task.idempotency_key,
    )


def submit_reply(task: Task) -> dict[str, Any]:
    """The reply to an accepted submit."""
    return {
        **_head(task, "pending", 0),
        "task_info": {"can_cancel": True, "estimated_time": task.estimated_time},
        "usage": _usage(task),
    }


def poll_reply(task: Task, now: float, style: Progress, origin: str, results: Results) -> dict[str, Any]:
    """The reply to a poll. `origin` is the address at which the client reaches this server."""
    state = status(task, now)
    reply: dict[str, Any] = {
        **_head(task, state, progress(task, now, style)),
        "results": _results(task, origin) if state == "completed" else None,
        "error": _error(task.fault) if state == "failed" and task.fault is not None else None,
        "usage": _usage(task),
    }
    if results == "urls" and state == "completed":  # https://docs.evolink.ai, the task query
        reply["results"] = [item.get("url", item) for item in _results(task, origin)]
        reply["usage"]["credits_used"] = _CREDITS_USED_PER_OUTPUT * task.num_outputs
    return reply


def file_names(task: Task, origin: str) -> dict[str, str]:
    """The texts that stand for the task's id and its first file in a fault."""
    path = f"/files/results/{task.id}/0.{task.extension}"
    return {"{id}": task.id, "{url}": origin + path, "{path}": path}


def _head(task: Task, state: str, percent: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "object": f"{task.media.type}.generation.task",
        "type": task.media.type,
        "model": task.model,
        "status": state,
        "progress": percent,
        "created": task.created,
    }


def _usage(task: Task) -> dict[str, Any]:
    return {"credits_reserved": CREDITS_PER_OUTPUT * task.num_outputs, "user_group": "default"}


def _error(fault: Fault) -> dict[str, Any]:
    return {"code": fault.code, "message": fault.message, "type": "task_error"}


def _results(task: Task, origin: str) -> list[dict[str, Any]]:
    if (value := _value(task, origin)) is not None:
        return [value]
    urls = (f"{origin}/files/results/{task.id}/{n}.{task.extension}" for n in range(task.num_outputs))
    # Observed at the real service: only this family names the type of its files.
    more = {"content_type": CONTENT_TYPES[task.extension]} if task.model.startswith("gpt-image-2") else {}
    return [{"url": url, **more} for url in urls]


def _value(task: Task, origin: str) -> dict[str, Any] | None:
    """The result of a task that makes no file; None if it makes files."""
    if task.media.type == "llm":
        return _completion(task)
    name = bare_name(task.model)
    make = next((make for start, make in _VALUES.items() if name.startswith(start)), None)
    return None if make is None else make(task, origin)


def _new_id(task: Task) -> str:
    return task.id.rpartition("-")[2]


def _profile(task: Task, _: str) -> dict[str, Any]:
    return {"result_type": "profile", "profile_id": _new_id(task)}


def _character(task: Task, _: str) -> dict[str, Any]:
    return {"character_id": _new_id(task), "name": task.body.get("name")}


def _voice(task: Task, _: str) -> dict[str, Any]:
    return {"voice_id": _new_id(task)}


def _cloned_voice(task: Task, origin: str) -> dict[str, Any]:
    """The voice, and a file in which it reads the text of the request, if there is one."""
    if not task.body.get("text"):
        return _voice(task, origin)
    url = file_names(task, origin)["{url}"]
    return {**_voice(task, origin), "url": url, "content_type": CONTENT_TYPES[task.extension]}


def _transcript(_task: Task, _: str) -> dict[str, Any]:
    return {"text": _SPOKEN}


def _timed_transcript(_task: Task, _: str) -> dict[str, Any]:
    words = [
        {"text": word, "start": n / 2, "end": (n + 1) / 2, "type": "word"}
        for n, word in enumerate(_SPOKEN.split())
    ]
    return {"text": _SPOKEN, "language_code": "eng", "language_probability": 1.0, "words": words}


# By the beginning of the model's name; see docs.foxapi.cc, get-task-detail, special results. The known text of the page ends
# after scribe-v2. Of the other transcripts, only the field `text` is certain.
_VALUES: dict[str, Callable[[Task, str], dict[str, Any]]] = {
    "phota-create-profile": _profile,
    "sora-2-character": _character,
    "kling-video-create-voice": _voice,
    "minimax-voice-clone": _cloned_voice,
    "voice-clone": _cloned_voice,
    "scribe-": _timed_transcript,
    "cohere-": _transcript,
    "paraformer-": _transcript,
}


def _completion(task: Task) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"An answer to: {task.prompt}"}
    return {
        "id": f"chatcmpl-{task.id}",
        "object": "chat.completion",
        "created": task.created,
        "model": task.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
