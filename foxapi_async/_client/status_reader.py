"""The protocol by which the poller reads the state of tasks. `Api` reads from the service; a test or another
source can replace it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from foxapi_async._files.downloads import Downloads
from foxapi_async._policy.reachability import Reachability
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.protocol import RateLimiter
from foxapi_async._wire.replies import TaskReply


class StatusReader(Protocol):
    """Reads the state of tasks.

    Attributes:
        polls: limits the reads. The poller asks it before each read, and reports refusals of the service to it.
        downloads: fetches the files that a result names.
        reachability: whether the service has answered.
    """

    polls: RateLimiter
    downloads: Downloads
    reachability: Reachability

    async def read(self, tasks: Mapping[str, bool]) -> dict[str, TaskReply | Verdict]:
        """The reply about each of these tasks, or the verdict on an unusable reply. A problem with one task
        raises nothing.

        Args:
            tasks: ids. The value says whether the task is so new that the service may not know it yet. The service
                can only be asked for one id at a time.
        """
        ...
