"""The public names that need neither a network nor an event loop: errors, options and requests."""
# ruff: noqa: PLC0414 - type checkers take `as` for "this name is public"

from foxapi_async._errors import APIError as APIError
from foxapi_async._errors import AuthenticationError as AuthenticationError
from foxapi_async._errors import BadRequestError as BadRequestError
from foxapi_async._errors import ConfigurationError as ConfigurationError
from foxapi_async._errors import ConnectionFailedError as ConnectionFailedError
from foxapi_async._errors import DownloadError as DownloadError
from foxapi_async._errors import FoxError as FoxError
from foxapi_async._errors import InsufficientQuotaError as InsufficientQuotaError
from foxapi_async._errors import InvalidRequestError as InvalidRequestError
from foxapi_async._errors import LedgerError as LedgerError
from foxapi_async._errors import NotFoundError as NotFoundError
from foxapi_async._errors import PayloadTooLargeError as PayloadTooLargeError
from foxapi_async._errors import PermissionDeniedError as PermissionDeniedError
from foxapi_async._errors import RateLimitError as RateLimitError
from foxapi_async._errors import ResponseDecodeError as ResponseDecodeError
from foxapi_async._errors import ServerError as ServerError
from foxapi_async._errors import ServiceUnavailableError as ServiceUnavailableError
from foxapi_async._errors import TaskAbandonedError as TaskAbandonedError
from foxapi_async._errors import TaskCancelledError as TaskCancelledError
from foxapi_async._errors import TaskError as TaskError
from foxapi_async._errors import TaskFailedError as TaskFailedError
from foxapi_async._errors import TaskTimeoutError as TaskTimeoutError
from foxapi_async._errors import UncertainSubmitError as UncertainSubmitError
from foxapi_async._errors import UnprocessableError as UnprocessableError
from foxapi_async._errors import UnreadableResultError as UnreadableResultError
from foxapi_async._hints import Hint as Hint
from foxapi_async._options import UNSET as UNSET
from foxapi_async._options import Limits as Limits
from foxapi_async._options import RetryPolicy as RetryPolicy
from foxapi_async.models import Gemini3ProImage as Gemini3ProImage
from foxapi_async.models import Gemini31FlashImage as Gemini31FlashImage
from foxapi_async.models import GenerationRequest as GenerationRequest
from foxapi_async.models import GrokImagineImage as GrokImagineImage
from foxapi_async.models import RawRequest as RawRequest
from foxapi_async.models import parse_request as parse_request
