"""An asyncio-native SDK for FoxAPI: submit image tasks, poll them at the right moments, bill never twice.

Names are imported when they are first used (PEP 562), so that naming the package costs nothing: every pytest run of an
environment that has it does so, because of the fixture in `foxapi_async.pytest_plugin`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxapi_async._batch import Batch
    from foxapi_async._cadence import Cadence
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
    from foxapi_async._estimates import Estimates
    from foxapi_async._events import Outcome, TaskEvent, TaskProblem, TaskSnapshot, UploadedFile
    from foxapi_async._job import BatchOutcome
    from foxapi_async._notices import (
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
    from foxapi_async._options import UNSET, Limits, RetryPolicy
    from foxapi_async._plan import PlannedPoll, PollPlan
    from foxapi_async._results import GeneratedImage, SavedFile, TaskResult
    from foxapi_async._session import FoxSession
    from foxapi_async._task import TaskHandle
    from foxapi_async._version import __version__
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

# Where the names live that are no errors; a test holds that this agrees with the imports above.
_HOMES = {
    "Batch": "_batch",
    "BatchOutcome": "_job",
    "Cadence": "_cadence",
    "Estimates": "_estimates",
    "PlannedPoll": "_plan",
    "PollPlan": "_plan",
    "FoxSession": "_session",
    "GeneratedImage": "_results",
    "GenerationRequest": "models",
    "Gemini31FlashImage": "models",
    "Gemini3ProImage": "models",
    "GrokImagineImage": "models",
    "Limits": "_options",
    "Attached": "_notices",
    "Left": "_notices",
    "Notice": "_notices",
    "Polled": "_notices",
    "Polling": "_notices",
    "Retried": "_notices",
    "Saved": "_notices",
    "SubmitFailed": "_notices",
    "Submitted": "_notices",
    "Submitting": "_notices",
    "Throttled": "_notices",
    "Outcome": "_events",
    "RawRequest": "models",
    "RetryPolicy": "_options",
    "SavedFile": "_results",
    "TaskEvent": "_events",
    "TaskHandle": "_task",
    "TaskProblem": "_events",
    "TaskResult": "_results",
    "TaskSnapshot": "_events",
    "UNSET": "_options",
    "UploadedFile": "_events",
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
