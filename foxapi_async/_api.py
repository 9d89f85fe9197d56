"""The API's verbs: submit, poll, fetch, upload, each from a value to a value.

Wire format, verdict, retry and transport come together here; nothing here knows of handles or sessions.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import TypeVar

import attrs

from foxapi_async import _calls, _wire
from foxapi_async._errors import FoxError, InvalidRequestError
from foxapi_async._events import TaskSnapshot, UploadedFile
from foxapi_async._options import Limits, RetryPolicy
from foxapi_async._post import Post
from foxapi_async._results import Downloads, Place
from foxapi_async._retry import Again, Gate, Patience, Tell, retelling, retried
from foxapi_async._scope import Scope
from foxapi_async._source import Source
from foxapi_async._transport import Transport
from foxapi_async._verdicts import Verdict, judge_read, judge_submit, still_uncertain
from foxapi_async._wire import Sighting
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
        tell: told of retries and of what is held back; None where nobody listens.
    """

    def __init__(
        self,
        transport: Transport,
        retry: RetryPolicy,
        limits: Limits,
        downloads: Downloads,
        tell: Tell | None = None,
    ) -> None:
        self._transport = transport
        self._retry = retry
        self.downloads = downloads
        self._tell = tell
        self.submits = Gate(limits.submits_per_second, "submit", tell)
        self.polls = Gate(limits.polls_per_second, "poll", tell)
        self._uploads = Gate(None, "upload", tell)

    async def submit(self, request: GenerationRequest, post: Post) -> TaskSnapshot:
        """The accepted task of one billed POST.

        Raises:
            FoxError: as DESIGN's table of submits says: a refusal, nothing sent, or the outcome unknown.
        """
        call = _calls.submit_call(request.path, request.wire(), post.key)

        async def attempt() -> TaskSnapshot:
            await post.prepare()
            scope = post.begin(Scope(self._retry.connect_timeout, self._retry.reply_timeout))
            outcome = await self._transport.submit(call, scope)
            again = self._retry.resubmit_uncertain
            judged = judge_submit(outcome, post.key, earlier=post.tries, tainted=post.tainted, resubmit=again)
            post.conclude(judged)
            return _unless_refused(judged)

        def refuse(refusal: FoxError) -> FoxError:
            return still_uncertain(refusal, post.key) if post.tainted else refusal

        patience = Patience(post.time_left, refuse, post.time.line_up)
        telling = retelling(self._tell, "submit", call=post.call)
        tries, gate = self._retry.tries, self.submits
        return self._bound(await retried(attempt, tries=tries, gate=gate, patience=patience, telling=telling))

    async def poll(self, task_id: str, *, fresh: bool) -> Sighting | Verdict:
        """One status read, not repeated: the poller's schedule does that."""
        outcome = await self._transport.read(_calls.task_path(task_id))
        judged = judge_read(
            outcome, lambda reply: _wire.read_status(reply, task_id), "poll", task_id, fresh=fresh
        )
        if isinstance(judged, Verdict):
            return judged
        assert isinstance(outcome, _calls.Reply)  # noqa: S101 - a snapshot was read from it
        return Sighting(self._bound(judged), outcome.headers.get("Date"))

    async def fetch(self, task_id: str) -> TaskSnapshot:
        """The task as it stands now.

        Raises:
            FoxError: it cannot be had after a few tries; `charged` is "no", since nothing was asked to be made.
        """
        path = _calls.task_path(task_id)

        async def attempt() -> TaskSnapshot:
            outcome = await self._transport.read(path)
            return _unless_refused(
                judge_read(outcome, lambda reply: _wire.read_status(reply, task_id), "fetch", task_id)
            )

        telling = retelling(self._tell, "fetch", task_id=task_id)
        return self._bound(await retried(attempt, tries=self._retry.tries, gate=self.polls, telling=telling))

    async def upload(self, source: Source, filename: str | None, by: int | None = None) -> UploadedFile:
        """The stored file; `by` is the number of the submit that needs it, if one does.

        Raises:
            InvalidRequestError: it cannot be read, is empty, or too large.
            FoxError: it could not be stored; nothing is billed.
        """
        await _measure(source)
        boundary = secrets.token_hex(16)
        head, tail = _calls.multipart_frame(filename or source.name, boundary)
        call = _calls.upload_call(boundary, len(head) + source.size + len(tail))

        async def attempt() -> UploadedFile:
            scope = Scope(self._retry.connect_timeout, self._retry.reply_timeout)
            outcome = await self._transport.upload(call, _framed(head, source, tail), scope)
            return _unless_refused(judge_read(outcome, _wire.read_upload, "upload"))

        telling = retelling(self._tell, "upload", call=by)
        return await retried(attempt, tries=self._retry.tries, gate=self._uploads, telling=telling)

    def _bound(self, snapshot: TaskSnapshot) -> TaskSnapshot:
        """The reading with images that can fetch themselves."""
        if not snapshot.images:
            return snapshot
        count = len(snapshot.images)
        images = tuple(
            image.bound(self.downloads, snapshot.id, Place(index, count))
            for index, image in enumerate(snapshot.images)
        )
        return attrs.evolve(snapshot, images=images)


def _unless_refused(judged: T | Verdict) -> T:
    if isinstance(judged, Verdict):
        if judged.again:
            raise Again(judged)
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
