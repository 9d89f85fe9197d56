"""The API's verbs: submit, poll, fetch, upload, each from a value to a value.

Wire format, verdict, retry and transport come together here; nothing here knows of handles or sessions.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import TypeVar

from foxapi_async._client.submission import Submission
from foxapi_async._errors import FoxError, InvalidRequestError
from foxapi_async._files.downloads import Downloads
from foxapi_async._files.source import Source
from foxapi_async._handles.snapshot import TaskSnapshot
from foxapi_async._http.exchange import Exchange
from foxapi_async._http.transport import Transport
from foxapi_async._listener import Listener
from foxapi_async._options import Limits, RetryPolicy
from foxapi_async._policy.contact import Contact
from foxapi_async._policy.verdict import Verdict
from foxapi_async._policy.verdicts import judge_read, judge_submit, still_uncertain
from foxapi_async._retry.limiter import RateLimiter
from foxapi_async._retry.retry import RetryBudget, RetrySignal, notifier, retried
from foxapi_async._wire import replies, requests
from foxapi_async._wire.replies import TaskReply, UploadedFile
from foxapi_async.models import GenerationRequest

T = TypeVar("T")

# The size limit is undocumented; the edge in front of the service is believed to end at 100 MB.
MAX_UPLOAD_BYTES = 100 * 1000 * 1000


class Api:
    """The verbs, over one transport.

    Args:
        transport: moves the bytes.
        retry: tries and times.
        limits: paces.
        downloads: what images fetch themselves through.
        listener: hears of retries and of what is held back.
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
        self.submits = RateLimiter(limits.submits_per_second, "submit", listener)
        self.polls = RateLimiter(limits.polls_per_second, "poll", listener)
        self._uploads = RateLimiter(None, "upload", listener)
        self.contact = Contact()

    async def submit(self, request: GenerationRequest, post: Submission) -> TaskSnapshot:
        """The accepted task of one billed POST.

        Raises:
            FoxError: as DESIGN's table of submits says: a refusal, nothing sent, or the outcome unknown.
        """
        call = requests.submit_call(request.path, request.wire(), post.key)

        async def attempt() -> TaskReply:
            await post.prepare()
            scope = post.begin(Exchange(self._retry.connect_timeout, self._retry.reply_timeout))
            outcome = await self._transport.submit(call, scope)
            again = self._retry.resubmit_uncertain
            judged = judge_submit(outcome, post.key, earlier=post.tries, tainted=post.tainted, resubmit=again)
            post.conclude(judged)
            return _unless_refused(judged)

        def refuse(refusal: FoxError) -> FoxError:
            return still_uncertain(refusal, post.key) if post.tainted else refusal

        budget = RetryBudget(post.time_left, refuse, post.time.line_up)
        notify = notifier(self._listener, "submit", call=post.call)
        tries, limiter = self._retry.tries, self.submits
        return TaskSnapshot.of(
            await retried(attempt, tries=tries, limiter=limiter, budget=budget, notify=notify), self.downloads
        )

    async def poll(self, task_id: str, *, fresh: bool) -> TaskReply | Verdict:
        """One status read, not repeated: the poller's schedule does that."""
        outcome = await self._transport.read(requests.task_path(task_id))
        return judge_read(
            outcome, lambda reply: replies.read_status(reply, task_id), "poll", task_id, fresh=fresh
        )

    async def fetch(self, task_id: str) -> TaskSnapshot:
        """The task as it stands now.

        Raises:
            FoxError: it cannot be had after a few tries; `charged` is "no", since nothing was asked to be made.
        """
        path = requests.task_path(task_id)

        async def attempt() -> TaskReply:
            outcome = await self._transport.read(path)
            return _unless_refused(
                judge_read(outcome, lambda reply: replies.read_status(reply, task_id), "fetch", task_id)
            )

        notify = notifier(self._listener, "fetch", task_id=task_id)
        return TaskSnapshot.of(
            await retried(attempt, tries=self._retry.tries, limiter=self.polls, notify=notify), self.downloads
        )

    async def upload(self, source: Source, filename: str | None, by: int | None = None) -> UploadedFile:
        """The stored file; `by` is the number of the submit that needs it, if one does.

        Raises:
            InvalidRequestError: it cannot be read, is empty, or too large.
            FoxError: it could not be stored; nothing is billed.
        """
        await _measure(source)
        boundary = secrets.token_hex(16)
        head, tail = requests.multipart_frame(filename or source.name, boundary)
        call = requests.upload_call(boundary, len(head) + source.size + len(tail))

        async def attempt() -> UploadedFile:
            scope = Exchange(self._retry.connect_timeout, self._retry.reply_timeout)
            outcome = await self._transport.upload(call, _framed(head, source, tail), scope)
            return _unless_refused(judge_read(outcome, replies.read_upload, "upload"))

        notify = notifier(self._listener, "upload", call=by)
        return await retried(attempt, tries=self._retry.tries, limiter=self._uploads, notify=notify)


def _unless_refused(judged: T | Verdict) -> T:
    if isinstance(judged, Verdict):
        if judged.again:
            raise RetrySignal(judged)
        raise judged.error
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
