"""The calls of the API: submit, read, fetch, credits, models, upload. Each takes values and returns values.

They combine wire format, verdict, retry and transport. This module does not know handles or sessions.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

from foxapi_async._errors import InvalidRequestError, ResponseDecodeError
from foxapi_async._files.downloads import Downloads
from foxapi_async._files.upload_source import Source
from foxapi_async._handles.snapshot import TaskSnapshot, snapshot_of
from foxapi_async._http.exchange import Exchange
from foxapi_async._http.transport import Transport
from foxapi_async._listener import Listener
from foxapi_async._options import Limits, RetryPolicy
from foxapi_async._policy.judge import judge_read, judge_submit
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._policy.reachability import Reachability
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.protocol import Rate, RateLimiter
from foxapi_async._retry.rate_limiter import PacedLimiter
from foxapi_async._retry.retry import RetrySignal, a_few_tries, retried
from foxapi_async._wire import requests
from foxapi_async._wire.account_replies import AccountCredits, read_credits, read_models
from foxapi_async._wire.json_values import read_object
from foxapi_async._wire.replies import TaskReply, UploadedFile, read_status, read_upload
from foxapi_async._wire.requests import Failure, Reply
from foxapi_async.models import GenerationRequest

T = TypeVar("T")

# The size limit is undocumented. The edge in front of the service probably allows 100 MB.
MAX_UPLOAD_BYTES = 100 * 1000 * 1000


class Api:
    """The calls, over one transport.

    Args:
        transport: moves the bytes.
        retry: how often and how long each request is tried.
        limits: how many requests may be sent per second.
        downloads: fetches the files of images.
        listener: gets reports of retries and holds.
    """

    def __init__(
        self,
        transport: Transport,
        retry: RetryPolicy,
        limits: Limits,
        downloads: Downloads,
        listener: Listener | None = None,
    ) -> None:
        self._transport = transport
        self._retry = retry
        self.downloads = downloads
        self._listener = listener
        self.submit_rate: Rate = AdaptiveRate(limits.submits_per_second)
        self.submits: RateLimiter = PacedLimiter(self.submit_rate, "submit", listener)
        self.polls: RateLimiter = PacedLimiter(AdaptiveRate(limits.polls_per_second), "poll", listener)
        self._uploads: RateLimiter = PacedLimiter(AdaptiveRate(), "upload", listener)
        self.reachability = Reachability()

    def limit_submits(self, rate: Rate) -> None:
        """Use this rate for submits from now on. It may be a part of a shared rate."""
        self.submits = PacedLimiter(rate, "submit", self._listener)

    async def submit(
        self, request: GenerationRequest, exchange: Exchange, *, key: str, earlier: int, maybe_accepted: bool
    ) -> TaskReply | Verdict:
        """Send one billed POST, once. Returns the accepted task, or the verdict on the answer.

        Args:
            request: the request, without local files.
            exchange: its time limits.
            key: its idempotency key.
            earlier: how often it was tried before.
            maybe_accepted: whether one of these tries may be billed.
        """
        call = requests.submit_call(request.path, request.wire(), key)
        outcome = await self._transport.submit(call, exchange)
        again = self._retry.resubmit_uncertain
        judged = judge_submit(outcome, key, earlier=earlier, maybe_accepted=maybe_accepted, resubmit=again)
        if not self.reachability.ever_answered:
            self._note_speaker(outcome, judged)
        return judged

    async def read(self, tasks: Mapping[str, bool]) -> dict[str, TaskReply | Verdict]:
        """The reply about each of these tasks; see `StatusReader`. A failed read is not repeated here, because the
        poller decides when to read again.
        """
        replies: dict[str, TaskReply | Verdict] = {}
        for task_id, fresh in tasks.items():
            outcome = await self._transport.read(requests.task_path(task_id))
            read = functools.partial(read_status, task_id=task_id)
            replies[task_id] = judged = judge_read(outcome, read, "poll", task_id, fresh=fresh)
            if not self.reachability.ever_answered:
                self._note_speaker(outcome, judged)
        return replies

    def _note_speaker(self, outcome: Reply | Failure, judged: object) -> None:
        if isinstance(outcome, Reply):
            self.reachability.ever_answered = not (isinstance(judged, Verdict) and judged.edge)

    async def service_answers(self, task_id: str | None) -> bool:
        """Whether the service itself answers a read of this task, or of the models. A read bills nothing."""
        path = requests.MODELS_PATH if task_id is None else requests.task_path(task_id)
        outcome = await self._transport.read(path)
        if not isinstance(outcome, Reply) or outcome.status >= 500:
            return False
        try:
            read_object(outcome)
        except ResponseDecodeError:
            return False
        self.reachability.ever_answered = True
        return True

    async def fetch(self, task_id: str) -> TaskSnapshot:
        """The present state of the task.

        Raises:
            FoxError: it cannot be read after a few tries; `charged` is "no", because a read generates nothing.
        """
        read = functools.partial(read_status, task_id=task_id)
        reply = await self._fetch(requests.task_path(task_id), read, task_id)
        return snapshot_of(reply, self.downloads)

    async def credits(self) -> AccountCredits:
        """The credits of the key and of its account.

        Raises:
            FoxError: as for `fetch`.
        """
        return await self._fetch(requests.CREDITS_PATH, read_credits)

    async def models(self) -> tuple[str, ...]:
        """The ids of the models that the key may call.

        Raises:
            FoxError: as for `fetch`.
        """
        return await self._fetch(requests.MODELS_PATH, read_models)

    async def _fetch(self, path: str, read: Callable[[Reply], T], task_id: str | None = None) -> T:
        async def attempt() -> T:
            if refusal := await self.polls.acquire():
                raise RetrySignal(Verdict(refusal))
            outcome = await self._transport.read(path)
            judged = judge_read(outcome, read, "fetch", task_id)
            if not self.reachability.ever_answered:
                self._note_speaker(outcome, judged)
            return _unless_refused(judged)

        rule = a_few_tries(self._retry.tries, self.polls)
        return await retried(attempt, rule, self._listener, "fetch", task_id=task_id)

    async def upload(self, source: Source, filename: str | None, by: int | None = None) -> UploadedFile:
        """Upload a file, and return the stored file. `by` is the number of the submit that needs it, if any.

        Raises:
            InvalidRequestError: the file cannot be read, is empty, or is too large.
            FoxError: the file could not be stored; nothing is billed.
        """
        await _measure(source)
        boundary = secrets.token_hex(16)
        head, tail = requests.multipart_frame(filename or source.name, boundary)
        call = requests.upload_call(boundary, len(head) + source.size + len(tail))

        async def attempt() -> UploadedFile:
            if refusal := await self._uploads.acquire():
                raise RetrySignal(Verdict(refusal))
            exchange = Exchange(self._retry.connect_timeout, self._retry.reply_timeout)
            outcome = await self._transport.upload(call, _framed(head, source, tail), exchange)
            return _unless_refused(judge_read(outcome, read_upload, "upload"))

        rule = a_few_tries(self._retry.tries, self._uploads)
        return await retried(attempt, rule, self._listener, "upload", call=by)


def _unless_refused(judged: T | Verdict) -> T:
    if isinstance(judged, Verdict):
        raise RetrySignal(judged)
    return judged


async def _framed(head: bytes, source: Source, tail: bytes) -> AsyncIterator[bytes]:
    yield head
    async for piece in source.pieces():
        yield piece
    yield tail


async def _measure(source: Source) -> None:
    try:
        await source.measure()
        problem = ""
    except OSError as error:
        problem = f"cannot read {source}: {error.strerror or error}"
    if not problem and source.size > MAX_UPLOAD_BYTES:
        problem = f"{source} has {source.size} bytes: the limit is {MAX_UPLOAD_BYTES}"
    if not problem and source.size == 0:
        problem = f"{source} is empty"
    if problem:
        raise InvalidRequestError(problem)
