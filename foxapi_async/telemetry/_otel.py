"""A hook for OpenTelemetry: for each generation a span, its duration, and how late its end was noticed.

The names follow the conventions for generative AI, version 0.1.0
(github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md).
The conventions are still in development, so each name is written here once, as plain text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from opentelemetry import context as contexts
from opentelemetry import metrics, trace

from foxapi_async._client.hooks import (
    Attached,
    HookEvent,
    Left,
    Polling,
    Retried,
    SubmitFailed,
    Submitted,
    Submitting,
)
from foxapi_async._errors import TaskAbandonedError
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, signal_of
from foxapi_async._handles.state import Signal
from foxapi_async._version import __version__
from foxapi_async._wire.replies import credits_of

PROVIDER = "foxapi"
FOLLOWING = "fetch_response"
"""A task that another process, or an earlier one, submitted."""

# The output of an endpoint, by the part of its path before "generations". The conventions call sound "speech".
_OUTPUTS = {"videos": "video", "audio": "speech", "audios": "speech", "llm": "text"}

DURATION = "gen_ai.client.inference.duration"
LAG = "foxapi.detection.lag"
RESPONSE_ID = "gen_ai.response.id"
DURATION_BUCKETS = (0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600)
LAG_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30, 60, 300)

# A span that has been open for this many seconds is ended, although the state of its task is unknown.
LONGEST_SPAN = 24 * 3600.0

_FAILURES = {Signal.FAILURE: "TaskFailedError", Signal.CANCELLATION: "TaskCancelledError"}


@attrs.define(eq=False)
class _Generation:
    """One logical operation. Moments are loop time in seconds.

    Attributes:
        span: its span.
        context: the submitter's context (such as baggage), with the span as the current one.
        operation: "image_generation", the same for another output, or FOLLOWING.
        model: the requested model. For a followed task, the model that the service used, once it is known.
        began: when it began.
        polls: how many polls were sent.
        polled_at: when the last poll was sent.
        seen_running_at: when the last poll was sent that showed the task running; None before the first.
    """

    span: trace.Span
    context: contexts.Context
    operation: str
    model: str
    began: float
    polls: int = 0
    polled_at: float | None = None
    seen_running_at: float | None = None

    @property
    def labels(self) -> dict[str, str]:
        return _labels(self.operation, self.model)


class OpenTelemetry:
    """A hook with one span and two measurements for each generation: `FoxSession(hooks=[OpenTelemetry()])`.

    The span "image_generation <model>" (or "video_generation", "speech_generation", "text_generation") begins with
    the submit and ends with the task. It includes all retries and polls. Its parent is the current span where `submit` is called. It is itself current for the requests
    of the generation, so spans of `opentelemetry-instrumentation-aiohttp-client` become its children. An
    attached task has a span "fetch_response <model>", from `attach` to its end. No attribute holds a prompt,
    an address or an error message.

    The service does not say when a task ended. An interval is known: it starts when the last poll that showed
    the task running was sent (or when the submit was answered), and ends with the answer that showed the end.
    This whole interval is measured as the detection lag, so the lag is an upper bound.

    Give one object to the sessions of one event loop. Without an OpenTelemetry SDK, it does nothing.

    Args:
        tracer_provider: where spans go; default the global one.
        meter_provider: where measurements go; default the global one.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("foxapi_async", __version__, tracer_provider)
        meter = metrics.get_meter("foxapi_async", __version__, meter_provider)
        self._duration = meter.create_histogram(
            DURATION,
            unit="s",
            description="From the submit of a generation until its end was noticed",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._lag = meter.create_histogram(
            LAG,
            unit="s",
            description="How late the end of a task was noticed, at most",
            explicit_bucket_boundaries_advisory=LAG_BUCKETS,
        )
        self._calls: dict[int, _Generation] = {}
        self._tasks: dict[str, _Generation] = {}
        self._listeners: dict[type, Callable[[Any], None]] = {
            Submitting: self._submitting,
            Submitted: self._submitted,
            SubmitFailed: self._submit_failed,
            Attached: self._attached,
            Polling: self._polling,
            Retried: self._retried,
            TaskEvent: self._seen,
            Left: self._left,
        }

    def __call__(self, event: HookEvent) -> None:
        """Handle one event."""
        if listener := self._listeners.get(type(event)):
            listener(event)

    # Beginnings.

    def _submitting(self, event: Submitting) -> None:
        count, output = event.request.expected, _OUTPUTS.get(event.request.path.split("/")[-2], "image")
        more = {} if count == 1 else {"gen_ai.request.choice.count": count}
        generation = self._begin(f"{output}_generation", event.model, {"gen_ai.output.type": output, **more})
        self._calls[event.call] = generation
        # This sets the context for the rest of the asyncio task that runs this submit, because this event is its first.
        contexts.attach(generation.context)

    def _submitted(self, event: Submitted) -> None:
        generation = self._calls.pop(event.call, None)
        if generation is None:
            return
        generation.seen_running_at = _now()
        generation.span.set_attributes({RESPONSE_ID: event.task_id, "foxapi.submit.tries": event.tries})
        if self._tasks.setdefault(event.task_id, generation) is not generation:
            generation.span.end()  # submitted again, and the service returned a task that is followed already

    def _submit_failed(self, event: SubmitFailed) -> None:
        if generation := self._calls.pop(event.call, None):
            generation.span.set_attribute("foxapi.submit.tries", event.tries)
            self._end(generation, type(event.error).__name__)

    def _attached(self, event: Attached) -> None:
        if event.task_id not in self._tasks:
            self._tasks[event.task_id] = self._begin(FOLLOWING, "", {RESPONSE_ID: event.task_id})

    def _begin(self, operation: str, model: str, more: Mapping[str, str | int]) -> _Generation:
        now = _now()
        self._end_old(now)
        # The facts are set when the span starts, because a sampler decides by them.
        facts = {**_labels(operation, model), **more}
        name = f"{operation} {model}".rstrip()
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=facts)
        return _Generation(span, trace.set_span_in_context(span), operation, model, now)

    def _end_old(self, now: float) -> None:
        """End the oldest spans, so that tasks without an end are not kept forever."""
        for table in (self._calls, self._tasks):
            while table and now - next(iter(table.values())).began > LONGEST_SPAN:
                table.pop(next(iter(table))).span.end()  # type: ignore[call-overload] # its own key

    # Progress.

    def _polling(self, event: Polling) -> None:
        generation = self._tasks.get(event.task_id)
        # Set for each poll: its asyncio task begins with the context of the poller.
        contexts.attach(generation.context if generation else contexts.Context())
        if generation:
            generation.polls += 1
            generation.polled_at = _now()

    def _retried(self, event: Retried) -> None:
        generation = self._calls.get(event.call or 0) or self._tasks.get(event.task_id or "")
        if generation:
            facts = {"foxapi.request": event.what, "foxapi.delay": event.seconds}
            generation.span.add_event("foxapi.retried", {**facts, "error.type": type(event.error).__name__})

    def _seen(self, event: TaskEvent) -> None:
        generation = self._tasks.get(event.task_id)
        if generation is None:
            return
        if not generation.model and event.model:
            generation.model = event.model
            generation.span.update_name(f"{generation.operation} {event.model}")
            generation.span.set_attribute("gen_ai.request.model", event.model)
        if event.final:
            del self._tasks[event.task_id]
            self._finish(generation, event.snapshot)
        else:
            generation.seen_running_at = _now() if generation.polled_at is None else generation.polled_at

    # Endings.

    def _finish(self, generation: _Generation, snapshot: TaskSnapshot) -> None:
        if generation.seen_running_at is not None:
            self._lag.record(
                _now() - generation.seen_running_at, generation.labels, context=generation.context
            )
        facts: dict[str, Any] = {"foxapi.status": snapshot.status, "foxapi.images": len(snapshot.images)}
        code = snapshot.error.code if snapshot.error else None
        credits = credits_of(snapshot.usage)  # noqa: A001 - the service's unit
        generation.span.set_attributes(facts)
        generation.span.set_attributes(_known("gen_ai.response.model", snapshot.model or None))
        generation.span.set_attributes(
            {**_known("foxapi.error.code", code), **_known("foxapi.credits", credits)}
        )
        self._end(generation, _FAILURES.get(signal_of(snapshot)), code)

    def _left(self, event: Left) -> None:
        if generation := self._tasks.pop(event.task_id, None):
            if isinstance(event.error, TaskAbandonedError):  # stopping, or closing the session, is no failure
                generation.span.set_attributes(
                    {"foxapi.status": "abandoned", "foxapi.polls": generation.polls}
                )
                generation.span.end()  # without a duration: the end of the task was not seen
            else:
                self._end(generation, type(event.error).__name__)

    def _end(self, generation: _Generation, error: str | None, why: str | None = None) -> None:
        """End the span and record its duration. `error` is the name of the error's class, `why` the service's reason."""
        span, labels = generation.span, {**generation.labels, **_known("error.type", error)}
        span.set_attributes({"foxapi.polls": generation.polls, **_known("error.type", error)})
        if error is not None:
            span.set_status(trace.Status(trace.StatusCode.ERROR, why or error))
        span.end()
        self._duration.record(_now() - generation.began, labels, context=generation.context)


def _labels(operation: str, model: str) -> dict[str, str]:
    labels = {"gen_ai.operation.name": operation, "gen_ai.provider.name": PROVIDER}
    return {**labels, "gen_ai.request.model": model} if model else labels


def _known(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _now() -> float:
    return asyncio.get_running_loop().time()
