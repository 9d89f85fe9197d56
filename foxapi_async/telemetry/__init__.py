"""Ready-made hooks for operators: `FoxSession(hooks=[log_events(), OpenTelemetry()])`.

The rest of the package imports nothing from here. OpenTelemetry's API is imported when its hook is first used
(the extra `otel`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async._display import show_under
from foxapi_async.telemetry._logs import log_events

if TYPE_CHECKING:
    from foxapi_async.telemetry._otel import OpenTelemetry

__all__ = ["OpenTelemetry", "log_events"]

show_under(__name__, [log_events])


def __getattr__(name: str) -> object:
    if name != "OpenTelemetry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from foxapi_async.telemetry._otel import OpenTelemetry  # noqa: PLC0415 - an extra
    except ImportError as error:
        text = f"OpenTelemetry() needs opentelemetry-api: pip install 'foxapi-async[otel]' ({error})"
        raise ImportError(text) from error
    show_under(__name__, [OpenTelemetry])
    return OpenTelemetry
