from prometheus_client import Counter, Gauge, Histogram

from foxapi_async import (
    Attached,
    Left,
    Notice,
    Polled,
    Retried,
    Saved,
    SubmitFailed,
    Submitted,
    TaskEvent,
    Throttled,
)

submits = Counter("foxapi_submits", "Submits by how they ended", ["model", "ended"])
running = Gauge("foxapi_running", "Tasks that are polled")
tasks = Counter("foxapi_tasks", "Tasks that ended", ["model", "status"])
waits = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
seconds = Histogram("foxapi_task_seconds", "From submit to end", ["model"], buckets=waits)
polled = Histogram("foxapi_poll_seconds", "Answers to polls", ["failed"])
retries = Counter("foxapi_retries", "Further tries", ["what", "error"])
throttled = Counter("foxapi_throttled_seconds", "Time held back", ["what"])
saved = Counter("foxapi_saved_bytes", "Bytes of saved images")


def prometheus(event: TaskEvent | Notice) -> None:  # FoxSession(hooks=[prometheus])
    match event:
        case Submitted():
            submits.labels(event.model, "accepted").inc()
            running.inc()
        case SubmitFailed():
            submits.labels(event.model, type(event.error).__name__).inc()
        case Attached():
            running.inc()
        case Polled():
            polled.labels(event.error is not None).observe(event.seconds)
        case TaskEvent(final=True):
            tasks.labels(event.model, event.status).inc()
            seconds.labels(event.model).observe(event.elapsed)
            running.dec()
        case Left():
            running.dec()
        case Retried():
            retries.labels(event.what, type(event.error).__name__).inc()
        case Throttled():
            throttled.labels(event.what).inc(event.seconds)
        case Saved():
            saved.inc(event.file.bytes)
        case _:
            pass
