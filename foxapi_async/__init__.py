"""An asyncio-native SDK for FoxAPI: submit image tasks, poll them at the right moments, never bill twice.

Names are imported when they are first used (PEP 562), so that importing the package is fast. Every pytest run
in an environment with this package imports it, because of the fixture in `foxapi_async.pytest_plugin`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxapi_async._batch.batch import Batch
    from foxapi_async._batch.record import BatchOutcome
    from foxapi_async._cadence.cadence import Cadence
    from foxapi_async._cadence.estimates import Estimates
    from foxapi_async._cadence.plan import PlannedPoll, PollPlan
    from foxapi_async._client.hooks import (
        Attached,
        Left,
        Notice,
        Polled,
        Polling,
        Retried,
        Saved,
        SubmitFailed,
        Submitted,
        Submitting,
        Throttled,
    )
    from foxapi_async._client.session import FoxSession
    from foxapi_async._errors import (
        APIError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConnectionFailedError,
        DownloadError,
        FoxError,
        InsufficientQuotaError,
        InvalidRequestError,
        LedgerError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        ResponseDecodeError,
        ServerError,
        ServiceUnavailableError,
        TaskAbandonedError,
        TaskCancelledError,
        TaskError,
        TaskFailedError,
        TaskTimeoutError,
        UncertainSubmitError,
        UnprocessableError,
    )
    from foxapi_async._files.values import SavedFile
    from foxapi_async._handles.handle import TaskHandle
    from foxapi_async._handles.result import GeneratedImage, Outcome, TaskResult
    from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
    from foxapi_async._options import UNSET, Limits, RetryPolicy
    from foxapi_async._version import __version__
    from foxapi_async._wire.replies import TaskProblem, UploadedFile
    from foxapi_async.models import (
        Gemini3ProImage,
        Gemini31FlashImage,
        GenerationRequest,
        GrokImagineImage,
        RawRequest,
        parse_request,
    )

__all__ = [
    "UNSET",
    "APIError",
    "Attached",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchOutcome",
    "Cadence",
    "ConfigurationError",
    "ConnectionFailedError",
    "DownloadError",
    "Estimates",
    "FoxError",
    "FoxSession",
    "Gemini3ProImage",
    "Gemini31FlashImage",
    "GeneratedImage",
    "GenerationRequest",
    "GrokImagineImage",
    "InsufficientQuotaError",
    "InvalidRequestError",
    "LedgerError",
    "Left",
    "Limits",
    "NotFoundError",
    "Notice",
    "Outcome",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PlannedPoll",
    "PollPlan",
    "Polled",
    "Polling",
    "RateLimitError",
    "RawRequest",
    "ResponseDecodeError",
    "Retried",
    "RetryPolicy",
    "Saved",
    "SavedFile",
    "ServerError",
    "ServiceUnavailableError",
    "SubmitFailed",
    "Submitted",
    "Submitting",
    "TaskAbandonedError",
    "TaskCancelledError",
    "TaskError",
    "TaskEvent",
    "TaskFailedError",
    "TaskHandle",
    "TaskProblem",
    "TaskResult",
    "TaskSnapshot",
    "TaskTimeoutError",
    "Throttled",
    "UncertainSubmitError",
    "UnprocessableError",
    "UploadedFile",
    "__version__",
    "parse_request",
]

# The modules of the names that are not errors. A test checks that this agrees with the imports above.
_HOMES = {
    "Batch": "_batch.batch",
    "BatchOutcome": "_batch.record",
    "Cadence": "_cadence.cadence",
    "Estimates": "_cadence.estimates",
    "PlannedPoll": "_cadence.plan",
    "PollPlan": "_cadence.plan",
    "FoxSession": "_client.session",
    "GeneratedImage": "_handles.result",
    "GenerationRequest": "models",
    "Gemini31FlashImage": "models",
    "Gemini3ProImage": "models",
    "GrokImagineImage": "models",
    "Limits": "_options",
    "Attached": "_client.hooks",
    "Left": "_client.hooks",
    "Notice": "_client.hooks",
    "Polled": "_client.hooks",
    "Polling": "_client.hooks",
    "Retried": "_client.hooks",
    "Saved": "_client.hooks",
    "SubmitFailed": "_client.hooks",
    "Submitted": "_client.hooks",
    "Submitting": "_client.hooks",
    "Throttled": "_client.hooks",
    "Outcome": "_handles.result",
    "RawRequest": "models",
    "RetryPolicy": "_options",
    "SavedFile": "_files.values",
    "TaskEvent": "_handles.snapshot",
    "TaskHandle": "_handles.handle",
    "TaskProblem": "_wire.replies",
    "TaskResult": "_handles.result",
    "TaskSnapshot": "_handles.snapshot",
    "UNSET": "_options",
    "UploadedFile": "_wire.replies",
    "__version__": "_version",
    "parse_request": "models",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'foxapi_async' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"foxapi_async.{_HOMES.get(name, '_errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
