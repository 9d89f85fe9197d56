"""The POSTs of a session: each runs in a task of its own, because it may bring the id of a task that is paid for.

Whoever asked for one may go; what then becomes of it is logged, unless it cost nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
from collections.abc import Callable

from foxapi_async._client.api import Api
from foxapi_async._client.notices import HookEvent, Retried, SubmitFailed, Submitted, Submitting
from foxapi_async._client.poller import Poller
from foxapi_async._client.submission import Submission
from foxapi_async._client.uploads import Uploads
from foxapi_async._errors import ConnectionFailedError, FoxError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskSnapshot
from foxapi_async._policy.breaker import PROBE_SECONDS, Breaker
from foxapi_async.models import GenerationRequest

_log = logging.getLogger("foxapi_async")

Answer = TaskHandle | Exception


class Submits:
    """What is being submitted.

    Args:
        api: sends it.
        uploads: stores its local files first.
        poller: takes its task on.
        left: set once the session is left.
        tell: told of each; None where nobody listens.
    """

    def __init__(
        self,
        api: Api,
        uploads: Uploads,
        poller: Poller,
        left: asyncio.Event,
        tell: Callable[[HookEvent], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._uploads = uploads
        self._poller = poller
        self._left = left
        self._tell = tell
        self._posts: dict[Submission, asyncio.Task[Answer]] = {}
        self._breaker = Breaker()
        self._silent_since: float | None = None  # when the network went down

    def start(
        self, group: asyncio.TaskGroup, request: GenerationRequest, post: Submission
    ) -> asyncio.Task[Answer]:
        """A child of `group` that sends the request.

        Raises:
            AuthenticationError, InsufficientQuotaError: the account is refused; nothing is sent.
        """
        try:
            post.epoch = self._breaker.admit(self._loop.time())
        except FoxError as refusal:
            # In a context as a child has it: hooks may change theirs.
            contextvars.copy_context().run(self._tell_unsent, request, post, refusal)
            raise
        task = post.task = group.create_task(self._deliver(request, post), name="foxapi submit")
        self._posts[post] = task
        task.add_done_callback(lambda _: self._posts.pop(post, None))
        return task

    async def answer(self, task: asyncio.Task[Answer], post: Submission) -> TaskHandle:
        """What the child brings, waited for as long as the post's caller has time.

        Raises:
            FoxError: see `FoxSession.submit`.
        """
        try:
            while not await post.time.has_seen(task) and self._bears_with(post):
                post.time.renew()
        except BaseException:
            _let_go(post, task)
            raise
        if not task.done():
            post.orphan()
        if not task.done() or task.cancelled():
            raise self._given_up(post)
        outcome = task.result()
        if isinstance(outcome, TaskHandle):
            return outcome
        raise outcome

    def _bears_with(self, post: Submission) -> bool:
        """Whether an item goes on although its time is over: nothing is sent, and it would wait out such a network."""
        delay = ConnectionFailedError("no connection in time", retryable=True)
        return not post.maybe_billed and self._wait_after(post, delay) is not None

    def _given_up(self, post: Submission) -> FoxError:
        return post.given_up("the session was left" if self._left.is_set() else "the waiting was ended")

    def refuse(self, reason: FoxError) -> None:
        """Send nothing more: what waits fails with that."""
        for post in list(self._posts):
            post.refuse(reason)

    def orphan(self) -> None:
        """The session is left: nobody waits for what is under way, which has its grace."""
        for post in list(self._posts):
            post.orphan()

    def end_grace(self) -> None:
        """Wait for no answer any more."""
        for task in list(self._posts.values()):
            task.cancel()

    async def _deliver(self, request: GenerationRequest, post: Submission) -> Answer:
        """Send the request and take its task on. Errors are returned: one must not end its neighbours."""
        outcome: Answer
        began = self._loop.time()
        self._tell_begun(request, post)
        try:
            snapshot = await self._sent(request, post)
            news = None if self._tell is None else self._submitted(request, post, snapshot, began)
            outcome = self._poller.adopt(snapshot, post.time.deadline, post.time.timeout, news)
            self._accepted(post)
        except asyncio.CancelledError:
            lost = post.given_up("its grace is over" if post.maybe_billed else "the waiting was ended")
            if post.maybe_billed:
                _log.warning("%s", lost)
            self._tell_failed(request, post, lost, began)
            raise
        except Exception as error:  # it is raised where `answer` is awaited
            outcome = error
            self._refused(error, post)
            self._tell_failed(request, post, error, began)
        if post.orphaned:
            _tell_of_orphan(post, outcome)
        return outcome

    async def _sent(self, request: GenerationRequest, post: Submission) -> TaskSnapshot:
        """The task of the accepted request; an item of many waits out what is refused only for now."""
        while True:
            error: FoxError
            try:
                return await self._api.submit(await self._uploads.replace_in(request, post.call), post)
            except FoxError as caught:
                error = caught
            seconds = self._wait_after(post, error)
            if seconds is None:
                raise post.last_word(error)  # outside the `except`, whose error would stay its context
            self._tell_held_back(post, seconds, error)
            post.hold_back(error)
            await asyncio.sleep(seconds)
            post.time.go_on()
            post.epoch = self._breaker.go_on(self._loop.time())

    def _wait_after(self, post: Submission, error: FoxError) -> float | None:
        """See `Post.wait_after`. An outage is the network's, not that of one item: whatever is heard ends it."""
        now = self._loop.time()
        if not isinstance(error, ConnectionFailedError):
            self._silent_since = None
        elif self._silent_since is None or self._silent_since < post.heard:
            self._silent_since = now
        return post.wait_after(error, 0.0 if self._silent_since is None else now - self._silent_since)

    # What hooks hear.

    def _tell_begun(self, request: GenerationRequest, post: Submission) -> None:
        if self._tell is not None:
            self._tell(Submitting(call=post.call, model=request.model, request=request))

    def _tell_held_back(self, post: Submission, seconds: float, error: FoxError) -> None:
        _log.warning("a series is held back for %.1f s: %s", seconds, error)
        if self._tell is not None:
            self._tell(Retried(what="submit", call=post.call, seconds=seconds, error=copy.copy(error)))

    def _tell_unsent(self, request: GenerationRequest, post: Submission, refusal: FoxError) -> None:
        self._tell_begun(request, post)
        self._tell_failed(request, post, refusal, self._loop.time())

    def _submitted(
        self, request: GenerationRequest, post: Submission, snapshot: TaskSnapshot, began: float
    ) -> Submitted:
        return Submitted(
            task_id=snapshot.id,
            call=post.call,
            model=request.model,
            tries=post.tries,
            seconds=self._loop.time() - began,
        )

    def _tell_failed(
        self, request: GenerationRequest, post: Submission, error: Exception, began: float
    ) -> None:
        if self._tell is None:
            return
        notice = SubmitFailed(
            task_id=getattr(error, "task_id", None),
            call=post.call,
            model=request.model,
            error=copy.copy(error) if isinstance(error, FoxError) else error,
            tries=post.tries,
            seconds=self._loop.time() - began,
        )
        self._tell(notice)

    # What concerns the account and not one submit.

    def resume(self) -> None:
        """See `FoxSession.resume`."""
        if self._breaker.reset():
            _log.info("submits pass again, as asked for by resume()")

    def _accepted(self, post: Submission) -> None:
        self._silent_since = None
        if self._breaker.accepted(post.epoch):
            _log.info("a submit was accepted: all pass again")

    def _refused(self, error: Exception, by: Submission) -> None:
        """Tell what waits for its turn, if the account was refused: N submits are not to be N refused calls."""
        if not isinstance(error, FoxError) or not self._breaker.refused(error, by.epoch, self._loop.time()):
            return
        _log.warning(
            "the service refused the account: %s. What waits to be sent fails with that, and one submit passes every "
            "%g s as a probe until one is accepted or resume() is called",
            error,
            PROBE_SECONDS,
        )
        for post in self._posts.keys() - {by}:
            post.refuse(error)


def tell_of_left(handle: TaskHandle) -> None:
    """Log the id of a task whose waiter has gone: it is billed, and may be over before anybody asks."""
    _log.warning(
        "generate() was cancelled; task %s goes on and stays billed: attach(id) looks again",
        handle.id,
        extra={"task_id": handle.id},
    )


def _let_go(post: Submission, task: asyncio.Task[Answer]) -> None:
    """The caller is cancelled. Its child may have ended in this very turn: then nobody else sees how."""
    if not task.done():
        post.orphan()
    elif not task.cancelled():  # pragma: no branch - cancelled both in one turn: nothing came
        _tell_of_orphan(post, task.result())


def _tell_of_orphan(post: Submission, outcome: Answer) -> None:
    """Log what became of a submit whose caller has gone, unless it cost nothing."""
    if isinstance(outcome, TaskHandle):
        _log.warning(
            "task %s was accepted and billed after its caller had gone; it is in FoxSession.unfinished",
            outcome.id,
            extra={"task_id": outcome.id},
        )
    elif post.maybe_billed or not isinstance(outcome, FoxError) or outcome.charged != "no":
        _log.warning("a submit whose caller has gone: %s", outcome)
