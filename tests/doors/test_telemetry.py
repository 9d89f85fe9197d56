"""Telemetry for operators: lines in the log, spans and measurements of OpenTelemetry, counters of Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys

import pytest
from helpers import fox_request, now, polls, posts, session_at

from foxapi_async import (
    Attached,
    BadRequestError,
    ConfigurationError,
    DownloadError,
    FoxError,
    FoxSession,
    Left,
    Limits,
    Notice,
    Polled,
    RateLimitError,
    RawRequest,
    Retried,
    Saved,
    SubmitFailed,
    Submitted,
    Submitting,
    TaskEvent,
    TaskSnapshot,
    TaskTimeoutError,
    Throttled,
    telemetry,
)
from foxapi_async.emulator import Emulator, Fault
from foxapi_async.telemetry import _logs, log_events

pytestmark = pytest.mark.virtual

otel = pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk")

from opentelemetry import trace  # noqa: E402 - the SDK may be missing
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult  # noqa: E402
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402

from foxapi_async.telemetry import OpenTelemetry, _otel  # noqa: E402

# Logging.


def lines(caplog, event):
    """The records of one kind of event."""
    return [record for record in caplog.records if getattr(record, "event", None) == event]


async def test_a_generation_in_the_log(emulator, caplog, tmp_path):
    """Submitted, finished and saved are at INFO with their fields; nothing else is, and no prompt at all."""
    caplog.set_level(logging.INFO, "foxapi_async")
    async with session_at(emulator, hooks=[log_events()]) as fox:
        result = await fox.generate(fox_request("a secret fox"))
        (path,) = await result.save(tmp_path)

    submitted, ended, saved = caplog.records
    assert {("foxapi_async", logging.INFO)} == {(r.name, r.levelno) for r in caplog.records}
    assert ("Submitted", result.task_id, 1) == (submitted.event, submitted.task_id, submitted.tries)
    assert ("TaskEvent", "completed", True, 1) == (ended.event, ended.status, ended.final, ended.images)
    assert ("Saved", str(path), path.stat().st_size) == (saved.event, saved.path, saved.bytes)
    assert result.task_id in submitted.getMessage()
    assert result.task_id in ended.getMessage()
    assert not any("secret" in repr(vars(record)) for record in caplog.records)


async def test_the_prompt_is_reported_at_debug_alone_and_shortened(emulator, caplog):
    """A prompt is in the log at DEBUG only, 80 characters of it, with its control characters escaped."""
    caplog.set_level(logging.DEBUG, "foxapi_async")
    async with session_at(emulator, hooks=[log_events()]) as fox:
        await fox.generate(fox_request("狐\x1b[31m\n" + "x" * 100))

    (begun,) = lines(caplog, "Submitting")
    assert logging.DEBUG == begun.levelno
    assert "狐\\x1b[31m\\n" + "x" * 73 == begun.prompt
    assert begun.getMessage().endswith(begun.prompt)
    assert 1 == sum("xxx" in repr(vars(record)) for record in caplog.records)
    assert {logging.DEBUG} == {r.levelno for r in [*lines(caplog, "Polling"), *lines(caplog, "Polled")]}
    assert len(polls(emulator)) == len(lines(caplog, "Polled"))


async def test_a_request_without_a_prompt_is_reported(caplog):
    """A model that takes no prompt is logged too."""
    caplog.set_level(logging.DEBUG, "foxapi_async")
    log_events()(Submitting(call=1, model="m", request=RawRequest("m")))

    assert "submit 1 of m begins: " == caplog.messages[0]


URL = "https://files.test/fox.png?signature=0123"
SNAPSHOT = TaskSnapshot(id="t", status="failed")
EVENT = TaskEvent(
    task_id="t",
    model="m\x1b",
    status="failed",
    progress=None,
    elapsed=5.0,
    remaining=0.0,
    final=True,
    snapshot=SNAPSHOT,
)
LEVELS = [
    (EVENT, logging.WARNING),
    (Attached(task_id="t"), logging.INFO),
    (Retried(what="poll", task_id="t", seconds=1.0, error=FoxError("no")), logging.WARNING),
    (Throttled(what="poll", seconds=1.0, error=RateLimitError("no")), logging.WARNING),
    (Throttled(what="poll", seconds=1.0), logging.DEBUG),
    (Left(task_id="t", error=TaskTimeoutError("no")), logging.WARNING),
    (Polled(task_id="t", seconds=1.0, error=FoxError("no")), logging.DEBUG),
    (SubmitFailed(call=1, model="m", error=KeyError("no"), tries=1, seconds=1.0), logging.WARNING),
]


@pytest.mark.parametrize(("event", "level"), LEVELS, ids=lambda value: type(value).__name__)
async def test_levels_and_fields(caplog, event, level):
    """Faults are a WARNING; each record has only plain values, which JSON can hold, on one line."""
    caplog.set_level(logging.DEBUG, "foxapi_async")
    usual = set(vars(logging.makeLogRecord({})))
    log_events()(event)
    (record,) = caplog.records
    fields = {name: value for name, value in vars(record).items() if name not in usual}

    assert level == record.levelno
    assert type(event).__name__ == fields["event"]
    assert json.loads(json.dumps(fields))
    assert record.getMessage().isprintable()
    if getattr(event, "error", None) is not None:
        assert type(event.error).__name__ == fields["error_type"]
        assert "no" in fields["error"]


async def test_a_signed_address_is_not_logged(caplog):
    """In a download's error, the part of the address after the question mark is left out."""
    error = DownloadError(f"cannot download: HTTP 500 ({URL})", url=URL)
    log_events()(Retried(what="download", task_id="t", seconds=1.0, error=error))
    log_events()(Retried(what="download", task_id="t", seconds=1.0, error=DownloadError("gone")))

    assert (
        "download is tried again in 1.00 s: cannot download: HTTP 500 (https://files.test/fox.png)"
        == (caplog.messages[0])
    )
    assert "signature" not in caplog.text


async def test_stopping_by_oneself_is_no_warning(emulator, caplog):
    """A task that its user stops is logged at INFO."""
    caplog.set_level(logging.INFO, "foxapi_async")
    async with session_at(emulator, hooks=[log_events()]) as fox:
        (await fox.submit(fox_request())).stop()

    (left,) = lines(caplog, "Left")
    assert logging.INFO == left.levelno
    assert ("TaskAbandonedError", "yes") == (left.error_type, left.charged)


async def test_a_logger_of_ones_own(caplog):
    """The hook writes to the given logger, and adds neither handlers nor levels."""
    own = logging.getLogger("app.foxes")
    log_events(own)(LEVELS[2][0])

    assert ["app.foxes"] == [record.name for record in caplog.records]
    assert ([], logging.NOTSET) == (own.handlers, own.level)


async def test_what_is_not_wanted_costs_nothing(monkeypatch, caplog):
    """If a level is off, no field is made; unknown kinds of events are left out."""
    monkeypatch.setattr(_logs, "_fields", None)
    caplog.set_level(logging.WARNING, "foxapi_async")
    log_events()(Attached(task_id="t"))
    log_events()(Notice())

    assert [] == caplog.records


def test_a_hook_that_was_not_made_is_refused():
    """`hooks=[log_events]`, without the call, is refused with the right form."""
    with pytest.raises(ConfigurationError, match=r"hooks=\[log_events\(\)\]"):
        log_events(EVENT)


def test_the_packages_logger_leaves_all_to_the_application():
    """It has no handler and no level. So Python shows its warnings if the application sets up no logging, as under uvicorn."""
    log = logging.getLogger("foxapi_async")

    assert ([], logging.NOTSET) == (log.handlers, log.level)


# OpenTelemetry.


class Lab:
    """An SDK of OpenTelemetry that keeps everything in memory."""

    def __init__(self):
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = otel.TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.hook = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    def span(self, name):
        (span,) = [span for span in self.spans if span.name == name]
        return span

    @property
    def generations(self):
        return [span for span in self.spans if span.instrumentation_scope.name == "foxapi_async"]

    def points(self, name):
        data = self._reader.get_metrics_data()
        metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    @property
    def open(self):
        return len(self.hook._calls) + len(self.hook._tasks)

    def exported(self):
        """All data that leaves the process, as text."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


@pytest.fixture
def lab():
    """A fresh SDK."""
    return Lab()


SPAN = "image_generation grok-imagine-image"


async def test_a_generation_is_one_span(emulator, lab):
    """Submit, retries and polls are one span of kind CLIENT, a child of the caller's, with the facts known at
    its end.
    """
    emulator.add_fault(Fault.status("submit", 429, retry_after=3))
    emulator.add_fault(Fault.status("poll", 503))
    tracer = lab.tracers.get_tracer("app")
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        with tracer.start_as_current_span("request"):
            result = await fox.generate(fox_request("a secret fox", num_outputs=2))
    (span,) = lab.generations

    assert (SPAN, SpanKind.CLIENT, StatusCode.UNSET) == (span.name, span.kind, span.status.status_code)
    assert lab.span("request").context.span_id == span.parent.span_id
    assert {
        "gen_ai.operation.name": "image_generation",
        "gen_ai.provider.name": "foxapi",
        "gen_ai.request.model": "grok-imagine-image",
        "gen_ai.response.model": result.model,
        "gen_ai.output.type": "image",
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.id": result.task_id,
        "foxapi.submit.tries": 2,
        "foxapi.polls": len(polls(emulator)),
        "foxapi.status": "completed",
        "foxapi.images": 2,
        "foxapi.credits": 10.0,
    } == span.attributes
    retries = [(event.name, event.attributes["foxapi.request"]) for event in span.events]
    assert [("foxapi.retried", "submit"), ("foxapi.retried", "poll")] == retries
    assert ["RateLimitError", "ServiceUnavailableError"] == [e.attributes["error.type"] for e in span.events]
    assert 3 <= span.events[0].attributes["foxapi.delay"] <= 4
    assert 0 == lab.open
    assert "secret" not in lab.exported()


@pytest.mark.parametrize(
    ("request_", "operation", "output"),
    [
        ({"model": "sora-2", "prompt": "a fox"}, "video_generation", "video"),
        ({"model": "suno-v4", "prompt": "a fox"}, "speech_generation", "speech"),
    ],
)
async def test_the_span_of_another_medium_names_it(emulator, lab, request_, operation, output):
    """A video is no image, in the span and in the duration."""
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        await fox.generate(request_)
    (span,), (point,) = lab.generations, lab.points(_otel.DURATION)

    assert span.name.startswith(f"{operation} ")
    assert (operation, output) == (
        span.attributes["gen_ai.operation.name"],
        span.attributes["gen_ai.output.type"],
    )
    assert operation == point.attributes["gen_ai.operation.name"]


async def test_an_item_of_a_series_is_one_span(emulator, lab):
    """An item that waits after refusals for longer than one submit would still has one span, and one duration."""
    emulator.add_fault(Fault.status("submit", 429, times=12))
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        (outcome,) = [outcome async for outcome in fox.as_completed([fox_request()])]
    (span,), (point,) = lab.generations, lab.points(_otel.DURATION)

    assert (StatusCode.UNSET, 13) == (span.status.status_code, span.attributes["foxapi.submit.tries"])
    assert 12 == [event.attributes["foxapi.request"] for event in span.events].count("submit")
    assert point.sum > outcome.result.elapsed + 10
    assert "error.type" not in point.attributes
    assert 0 == lab.open


async def test_a_generation_is_measured(emulator, lab):
    """The duration counts from the submit to the moment when the end is noticed, in seconds, with the model
    and no id.
    """
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        result = await fox.generate(fox_request())
    (point,) = lab.points("gen_ai.client.inference.duration")

    assert result.elapsed == pytest.approx(point.sum, abs=0.1)
    assert {
        "gen_ai.operation.name": "image_generation",
        "gen_ai.provider.name": "foxapi",
        "gen_ai.request.model": "grok-imagine-image",
    } == point.attributes
    assert _otel.DURATION_BUCKETS == point.explicit_bounds


async def test_the_lag_is_an_upper_bound(lab):
    """The detection lag is never less than the true one: it counts from the sending of the last poll that
    found the task running.
    """
    true, asked, bounds = [], [], []

    def look(event):
        if type(event).__name__ == "Polling":
            asked.append(now())
        elif isinstance(event, TaskEvent) and event.final:
            bounds.append(now() - asked[-2] if len(asked) > 1 else event.elapsed)

    async with (
        Emulator(seconds=20, faults=[Fault.slow("poll", 0.5, times=None)]) as emulator,
        session_at(emulator, hooks=[lab.hook, look]) as fox,
    ):
        for number in range(5):
            asked.clear()
            result = await fox.generate(fox_request(str(number)))
            true.append(result.elapsed - emulator.tasks[result.task_id].duration)
    (point,) = lab.points("foxapi.detection.lag")

    assert 5 == point.count
    assert sum(bounds) == pytest.approx(point.sum, abs=0.1)
    assert sum(true) <= point.sum
    assert point.min >= min(true)


async def test_a_failed_task_is_an_error(emulator, lab):
    """A task that the service failed ends its span with ERROR, the error's class and the service's code."""
    emulator.add_fault(Fault.fails("content_policy_violation"))
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        with pytest.raises(FoxError):
            await fox.generate(fox_request())
    (span,), (point,) = lab.generations, lab.points(_otel.DURATION)

    assert (StatusCode.ERROR, "content_policy_violation") == (
        span.status.status_code,
        span.status.description,
    )
    assert ("TaskFailedError", "content_policy_violation", 0) == (
        span.attributes["error.type"],
        span.attributes["foxapi.error.code"],
        span.attributes["foxapi.images"],
    )
    assert "TaskFailedError" == point.attributes["error.type"]


async def test_a_refused_submit_is_an_error(emulator, lab):
    """A refused submit ends its span with ERROR, its tries, and no task."""
    emulator.add_fault(Fault.status("submit", 400))
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        with pytest.raises(BadRequestError):
            await fox.submit(fox_request())
    (span,) = lab.generations

    assert (StatusCode.ERROR, "BadRequestError") == (span.status.status_code, span.attributes["error.type"])
    assert 1 == span.attributes["foxapi.submit.tries"]
    assert "gen_ai.response.id" not in span.attributes
    assert [] == lab.points("foxapi.detection.lag")
    assert 0 == lab.open


@pytest.mark.parametrize(
    ("way", "status", "error"),
    [
        ("timeout", StatusCode.ERROR, "TaskTimeoutError"),
        ("stop", StatusCode.UNSET, None),
        ("leave", StatusCode.UNSET, None),
    ],
)
async def test_no_span_is_left_open(emulator, lab, way, status, error):
    """When a task is no longer polled its span ends, as an error unless the user wanted this. Then its status is
    "abandoned", and it has no duration, because the end of the task was not seen.
    """
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        handle = await fox.submit(fox_request(), timeout=3)
        if way == "stop":
            handle.stop()
        elif way == "timeout":
            await asyncio.sleep(4)
    (span,) = lab.generations
    durations = [point.attributes["error.type"] for point in lab.points(_otel.DURATION)]

    assert (status, error) == (span.status.status_code, span.attributes.get("error.type"))
    assert ("abandoned" if error is None else None) == span.attributes.get("foxapi.status")
    assert ([] if error is None else [error]) == durations
    assert 0 == lab.open


class Chooser(Sampler):
    """Keeps what a sampler sees of each span."""

    def __init__(self):
        self.seen = []

    def should_sample(
        self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
    ):
        self.seen.append(dict(attributes or {}))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self):
        return "keeps what it sees"


async def test_a_sampler_sees_what_begins(emulator):
    """Operation, provider and model are there when the span is made."""
    chooser = Chooser()
    hook = OpenTelemetry(tracer_provider=otel.TracerProvider(sampler=chooser))
    async with session_at(emulator, hooks=[hook]) as fox:
        await fox.generate(fox_request(num_outputs=2))

    assert [
        {
            "gen_ai.operation.name": "image_generation",
            "gen_ai.provider.name": "foxapi",
            "gen_ai.request.model": "grok-imagine-image",
            "gen_ai.output.type": "image",
            "gen_ai.request.choice.count": 2,
        }
    ] == chooser.seen


async def test_a_submit_whose_caller_is_cancelled_has_its_whole_time(emulator, lab):
    """The span of a submit whose caller has gone ends with the task, or with the session."""
    emulator.add_fault(Fault.slow("submit", 3))
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)
        submitting.cancel()
        await asyncio.sleep(60)
    (span,) = lab.generations

    assert "completed" == span.attributes["foxapi.status"]
    assert 0 == lab.open


async def test_an_attached_task_has_a_span_of_its_own(emulator, lab):
    """A task of another process is its own operation, a child of the caller of `attach`, with its model when
    known.
    """
    async with session_at(emulator) as fox:
        handle = await fox.submit(fox_request())
    tracer = lab.tracers.get_tracer("app")
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        with tracer.start_as_current_span("request"):
            attached = fox.attach(handle.id)
            assert trace.get_current_span().name == "request"
        await attached
    (span,), (point,) = lab.generations, lab.points(_otel.DURATION)

    assert "fetch_response grok-imagine-image" == span.name
    assert "gen_ai.output.type" not in span.attributes
    assert lab.span("request").context.span_id == span.parent.span_id
    assert (handle.id, "grok-imagine-image") == (
        span.attributes["gen_ai.response.id"],
        span.attributes["gen_ai.request.model"],
    )
    assert "fetch_response" == point.attributes["gen_ai.operation.name"]


async def test_an_attached_task_that_is_over_already_has_no_lag(emulator, lab):
    """If no poll found the task running, the moment of its end is unknown."""
    async with session_at(emulator) as fox:
        task_id = (await fox.generate(fox_request())).task_id
    async with session_at(emulator, hooks=[lab.hook]) as fox:
        await fox.attach(task_id)

    assert 1 == len(lab.generations)
    assert [] == lab.points("foxapi.detection.lag")


async def test_two_sessions_may_share_the_hook(emulator, lab):
    """Sessions that poll one task through one hook make one span, and none stays open."""
    async with (
        session_at(emulator, hooks=[lab.hook]) as one,
        session_at(emulator, hooks=[lab.hook]) as two,
    ):
        handle = await one.submit(fox_request())
        await asyncio.gather(handle.wait(), two.attach(handle.id).wait())

    assert [SPAN] == [span.name for span in lab.generations]
    assert 0 == lab.open


async def test_a_task_that_is_submitted_again_has_one_more_span(lab):
    """If the service answers a repeated submit with a task that is followed already, both spans end."""
    async with (
        Emulator(seconds=20, idempotent=True) as emulator,
        session_at(emulator, hooks=[lab.hook]) as fox,
    ):
        engine, request = fox._engine, fox_request()
        first = await engine.submitter.submit(request, engine.new_submission(None, key="key"))
        second = await engine.submitter.submit(request, engine.new_submission(None, key="key"))
        assert first.id == second.id
        await asyncio.gather(first.wait(), second.wait())

    assert 1 == emulator.billed
    assert 2 == len(lab.generations)
    assert 1 == lab.points(_otel.DURATION)[0].count
    assert 0 == lab.open


async def test_events_without_a_known_beginning_are_ignored(lab):
    """The hook ignores events of calls and tasks whose beginning it did not get."""
    for event, _ in LEVELS:
        if not isinstance(event, Attached):
            lab.hook(event)
    lab.hook(Submitted(task_id="t", call=9, model="m", tries=1, seconds=1.0))
    lab.hook(_event("t"))
    lab.hook(Saved(task_id="t", file=None, seconds=1.0))

    assert () == lab.spans
    assert 0 == lab.open


def _event(task_id, *, final=False, model="m"):
    snapshot = TaskSnapshot(
        id=task_id,
        model=model,
        status="completed" if final else "pending",
        has_results=final,
        has_values=final,
    )
    return TaskEvent(
        task_id=task_id,
        model=model,
        status=snapshot.status,
        progress=None,
        elapsed=1.0,
        remaining=None,
        final=final,
        snapshot=snapshot,
    )


def generation(hook, call, *, ends=True):
    """The events of one generation for a hook."""
    hook(Submitting(call=call, model="m", request=RawRequest("m")))
    hook(Submitted(task_id=f"t{call}", call=call, model="m", tries=1, seconds=1.0))
    hook(_event(f"t{call}", final=ends))


@pytest.mark.thorough
async def test_memory_is_bounded():
    """After a hundred thousand generations nothing of them is kept."""
    hook = OpenTelemetry()
    for call in range(100_000):
        generation(hook, call)

    assert 0 == len(hook._calls) + len(hook._tasks)


async def test_what_never_ends_is_not_kept(lab):
    """A generation or submit without an end is dropped after a day."""
    generation(lab.hook, 0, ends=False)
    lab.hook(Submitting(call=-1, model="m", request=RawRequest("m")))
    await asyncio.sleep(23 * 3600)
    generation(lab.hook, 1)
    assert 2 == lab.open
    await asyncio.sleep(2 * 3600)
    generation(lab.hook, 2)

    assert 0 == lab.open
    assert 4 == len(lab.generations)


KEY = "sk-7h3k3y0123456789"


@contextlib.contextmanager
def instrumented(lab):
    """aiohttp's client with the usual instrumentation."""
    aiohttp_client = pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")
    instrumentor = aiohttp_client.AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=lab.tracers, meter_provider=lab.meters)
    try:
        yield
    finally:
        instrumentor.uninstrument()


async def test_http_spans_are_children_of_their_generation(lab, tmp_path):
    """With the aiohttp instrumentation, each POST, upload and GET of a generation is a child of its span,
    whichever others run at the time. An attached task's GETs are children of its own span. The key is in no
    exported data.
    """
    picture = tmp_path / "fox.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with instrumented(lab):
        async with Emulator(seconds=20, key=KEY) as emulator:
            emulator.add_fault(Fault.status("submit", 429, retry_after=1))
            async with FoxSession(KEY, base_url=emulator.url) as fox:
                earlier = await fox.submit(fox_request("earlier"))
            limits = Limits(connections=2)
            async with FoxSession(KEY, base_url=emulator.url, hooks=[lab.hook], limits=limits) as fox:
                requests = [fox_request(str(n)) for n in range(6)] + [
                    fox_request("edit", image_urls=[picture])
                ]
                fox.attach(earlier.id)
                results = await asyncio.gather(*(fox.generate(request) for request in requests))
                await fox.fetch(results[0].task_id)
    spans = {span.context.span_id: span for span in lab.generations}
    children = [span for span in lab.spans if span.context.span_id not in spans and span.parent]
    of_task = {span.attributes["gen_ai.response.id"]: span for span in spans.values()}

    assert 8 == len(spans)
    for task_id, span in of_task.items():
        mine = [child for child in children if child.parent.span_id == span.context.span_id]
        gets = [child for child in mine if child.name == "GET"]
        assert span.attributes["foxapi.polls"] == len(gets) > 0
        assert all(task_id in child.attributes["http.url"] for child in gets)
        assert all(span.context.trace_id == child.context.trace_id for child in mine)
        sent = [child for child in mine if child.name == "POST"]
        tries = span.attributes.get("foxapi.submit.tries", 0)
        uploads = [child for child in sent if "upload" in child.attributes["http.url"]]
        assert tries == len(sent) - len(uploads)
    posted = [child for child in children if child.name == "POST"]
    assert 1 + len(posts(emulator)) - 2 == len(posted)  # without those of the session that had no hook
    assert KEY not in lab.exported()
    assert "http.url" in lab.exported()


async def test_a_poll_of_an_unknown_task_has_no_parent(emulator, lab):
    """A poll of a task without a span is not a child of the poll before it."""
    with instrumented(lab):
        async with session_at(emulator, hooks=[lab.hook], limits=Limits(connections=1)) as fox:
            first, second = await fox.submit(fox_request("1")), await fox.submit(fox_request("2"))
            lab.hook._tasks.pop(second.id).span.end()
            await asyncio.gather(first.wait(), second.wait())
    gets = [span for span in lab.spans if span.name == "GET"]

    parents = {
        task.id: {
            span.parent and span.parent.span_id for span in gets if task.id in span.attributes["http.url"]
        }
        for task in (first, second)
    }
    (span,) = [span for span in lab.generations if span.attributes["gen_ai.response.id"] == first.id]

    assert {first.id: {span.context.span_id}, second.id: {None}} == parents


SCRIPT = """
import asyncio, sys
sys.modules["opentelemetry.sdk"] = None
from foxapi_async import FoxSession, GrokImagineImage
from foxapi_async.emulator import Emulator
from foxapi_async.telemetry import OpenTelemetry

async def main():
    async with Emulator(seconds=0.05) as emulator:
        hook = OpenTelemetry()
        async with FoxSession(emulator.key, base_url=emulator.url, hooks=[hook]) as fox:
            print(len((await fox.generate(GrokImagineImage("a fox"))).images), len(hook._tasks))

asyncio.run(main())
"""


@pytest.mark.thorough
def test_the_api_alone_does_nothing():
    """Without an SDK the hook works, and does nothing."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True)

    assert ("1 0\n", "") == (done.stdout, done.stderr)


def test_a_missing_extra_is_named(monkeypatch):
    """Without OpenTelemetry's API the hook's import names the extra; logging works without it."""
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "foxapi_async.telemetry._otel")
    monkeypatch.delattr(telemetry, "_otel")

    with pytest.raises(ImportError, match=r"pip install 'foxapi-async\[otel\]'"):
        from foxapi_async.telemetry import OpenTelemetry  # noqa: F401
    assert callable(telemetry.log_events())
    with pytest.raises(AttributeError, match="nonsense"):
        _ = telemetry.nonsense


# Prometheus.


async def test_a_prometheus_hook(emulator, tmp_path):
    """A hook of thirty lines counts submits, polls, retries, running tasks and bytes for Prometheus."""
    client = pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    from apps.prometheus_hook import prometheus

    registry = client.REGISTRY
    emulator.add_fault(Fault.status("submit", 429, retry_after=2))
    async with session_at(emulator, hooks=[prometheus]) as fox:
        result = await fox.generate(fox_request())
        files = await result.save(tmp_path)
        emulator.add_fault(Fault.status("submit", 400))
        with pytest.raises(BadRequestError):
            await fox.submit(fox_request())
        await fox.submit(fox_request())
        assert 1 == registry.get_sample_value("foxapi_running")

    def value(name, **labels):
        return registry.get_sample_value(name, labels)

    model = "grok-imagine-image"
    assert 2 == value("foxapi_submits_total", model=model, ended="accepted")
    assert 1 == value("foxapi_submits_total", model=model, ended="BadRequestError")
    assert 1 == value("foxapi_tasks_total", model=model, status="completed")
    assert 1 == value("foxapi_retries_total", what="submit", error="RateLimitError")
    assert 2 <= value("foxapi_throttled_seconds_total", what="submit")
    assert len(polls(emulator)) == value("foxapi_poll_seconds_count", failed="False")
    assert files[0].stat().st_size == value("foxapi_saved_bytes_total")
    assert 0 == value("foxapi_running")
