"""A few tasks that do one piece of work after another: making a task for each poll cost a tenth of the poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Member(Generic[T]):
    """One task of the crew, and the future through which it is given its next piece of work."""

    task: asyncio.Task[None]
    given: asyncio.Future[T]
    busy = True


class WorkerPool(Generic[T]):
    """Up to `size` tasks of a group, made as they are needed and kept.

    Args:
        group: owns the tasks; what `work` raises, it raises.
        size: pieces of work under way at a time.
        work: does one piece.
        freed: called when there is room again after there was none.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        size: int,
        work: Callable[[T], Coroutine[Any, Any, None]],
        freed: Callable[[], None],
    ) -> None:
        self.room = size
        self._group = group
        self._work = work
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Member[T]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def hand(self, item: T) -> asyncio.Task[None]:
        """Begin a piece of work; cancelling the task that is returned ends it. There must be room."""
        self.room -= 1
        if self._idle:
            member = self._idle.pop()
            member.busy = True
            member.given.set_result(item)
            return member.task
        member = _Member()
        member.task = self._group.create_task(self._run(member, item))
        self._tasks.add(member.task)
        # Not in the task itself: one that is cancelled before its first step never runs its `finally`.
        member.task.add_done_callback(lambda task: self._gone(member, task))
        return member.task

    def dismiss(self) -> None:
        """End all work and all waiting for work."""
        for task in self._tasks:
            task.cancel()

    def _gone(self, member: _Member[T], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if member.busy:
            self._free()

    async def _run(self, member: _Member[T], item: T) -> None:
        while True:
            await self._work(item)
            member.busy = False
            member.given = self._loop.create_future()
            self._idle.append(member)
            self._free()
            item = await member.given

    def _free(self) -> None:
        self.room += 1
        if self.room == 1:
            self._freed()
