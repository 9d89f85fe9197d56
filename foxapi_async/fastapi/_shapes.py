"""The answers of the routes, as the documentation of the app shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from foxapi_async._errors import FieldProblem, ProblemType
from foxapi_async._handles.result import GeneratedImage, TaskResult
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
from foxapi_async._wire.replies import TaskProblem
from foxapi_async._wire.texts import shorten


class SubmittedImage(BaseModel):
    """A task that was accepted."""

    id: str


class Image(BaseModel):
    """One image. Its URL works for 24 hours."""

    url: str
    content_type: str | None

    @classmethod
    def all_of(cls, images: tuple[GeneratedImage, ...]) -> list[Image]:
        """All images, in order."""
        return [cls(url=image.url, content_type=image.content_type) for image in images]


class ImageProblem(BaseModel):
    """Why a task failed."""

    code: str | None
    message: str

    @classmethod
    def of(cls, problem: TaskProblem | None) -> ImageProblem | None:
        """The service's reason and words, shortened; None if there are none."""
        if problem is None:
            return None
        return cls(code=problem.code and shorten(problem.code, 100), message=shorten(problem.message))


class ImageFacts(BaseModel):
    """The fields that every state of a task has."""

    id: str
    model: str
    status: str
    progress: float | None
    images: list[Image]
    error: ImageProblem | None


class ImageState(ImageFacts):
    """The present state of a task. `created` is Unix time in seconds."""

    created: float | None
    finished: bool

    @classmethod
    def of(cls, snapshot: TaskSnapshot) -> ImageState:
        """The state from a snapshot."""
        return cls(**_facts(snapshot), created=snapshot.created, finished=snapshot.finished)


class ImageProgress(ImageFacts):
    """The data of one server-sent event. Times are in seconds."""

    elapsed: float
    remaining: float | None
    final: bool

    @classmethod
    def of(cls, event: TaskEvent) -> ImageProgress:
        """The data from an event."""
        facts: dict[str, Any] = _facts(event.snapshot) | {"id": event.task_id}
        return cls(**facts, elapsed=event.elapsed, remaining=event.remaining, final=event.final)


def _facts(snapshot: TaskSnapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "model": snapshot.model,
        "status": snapshot.status,
        "progress": snapshot.progress,
        "images": Image.all_of(snapshot.images),
        "error": ImageProblem.of(snapshot.error),
    }


class ImageResult(BaseModel):
    """A task that completed. `elapsed` is in seconds since its creation.

    `images` has all files, even if they are videos. `values` are results without a file, such as a transcript.
    """

    id: str
    model: str
    images: list[Image]
    values: list[Any]
    elapsed: float
    usage: dict[str, Any]

    @classmethod
    def of(cls, result: TaskResult) -> ImageResult:
        """The answer from a result."""
        return cls(
            id=result.task_id,
            model=result.model,
            images=Image.all_of(result.images),
            values=list(result.values),
            elapsed=result.elapsed,
            usage=dict(result.usage),
        )


class RequestProblem(BaseModel):
    """One fault of a request: `message` for people who read English, the rest for programs with their own words.

    `field` is empty if the fault concerns no field. `ctx` has the values of the message by name, such as the limits of
    the field. If `type` is "other", only the message says what is wrong.
    """

    type: ProblemType
    field: str
    message: str
    ctx: dict[str, Any]

    @classmethod
    def of(cls, problem: str) -> RequestProblem:
        """The fault from a line of `InvalidRequestError.problems`."""
        found = problem if isinstance(problem, FieldProblem) else FieldProblem("", problem)
        return cls(type=found.type, field=found.parts[0], message=str(found), ctx=dict(found.values))


class Error(BaseModel):
    """The error: `type` for programs, `message` for people.

    An "invalid_request" has its faults as lines in `problems`, and for programs in `details`.
    """

    type: str
    message: str
    code: str | None = None
    problems: list[str] | None = None
    details: list[RequestProblem] | None = None
    id: str | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: Error
