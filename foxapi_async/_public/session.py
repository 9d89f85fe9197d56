"""The public names of a session at work."""
# ruff: noqa: PLC0414 - type checkers take `as` for "this name is public"

from foxapi_async._cadence.cadence import Cadence as Cadence
from foxapi_async._cadence.estimates import Estimates as Estimates
from foxapi_async._cadence.plan import PlannedPoll as PlannedPoll
from foxapi_async._cadence.plan import PollPlan as PollPlan
from foxapi_async._client.hooks import Attached as Attached
from foxapi_async._client.hooks import Left as Left
from foxapi_async._client.hooks import Notice as Notice
from foxapi_async._client.hooks import Polled as Polled
from foxapi_async._client.hooks import Polling as Polling
from foxapi_async._client.hooks import Retried as Retried
from foxapi_async._client.hooks import Saved as Saved
from foxapi_async._client.hooks import SubmitFailed as SubmitFailed
from foxapi_async._client.hooks import Submitted as Submitted
from foxapi_async._client.hooks import Submitting as Submitting
from foxapi_async._client.hooks import Throttled as Throttled
from foxapi_async._client.session import FoxSession as FoxSession
from foxapi_async._files.values import SavedFile as SavedFile
from foxapi_async._handles.handle import TaskHandle as TaskHandle
from foxapi_async._handles.result import GeneratedImage as GeneratedImage
from foxapi_async._handles.result import Outcome as Outcome
from foxapi_async._handles.result import TaskResult as TaskResult
from foxapi_async._handles.snapshot import TaskEvent as TaskEvent
from foxapi_async._handles.snapshot import TaskSnapshot as TaskSnapshot
from foxapi_async._wire.account_replies import AccountCredits as AccountCredits
from foxapi_async._wire.replies import TaskProblem as TaskProblem
from foxapi_async._wire.replies import UploadedFile as UploadedFile
