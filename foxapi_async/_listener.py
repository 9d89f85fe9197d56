"""What the lower packages report while they work, in plain arguments. A session's hooks hear it as notices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from foxapi_async._errors import FoxError

What = Literal["submit", "poll", "fetch", "upload", "download"]


class Listener(Protocol):
    """Receives reports. A caller without one makes none. Durations are in seconds."""

    def on_retry(
        self,
        what: What,
        seconds: float,
        error: FoxError,
        *,
        task_id: str | None = None,
        call: int | None = None,
    ) -> None:
        """A request failed with `error` and is made again after `seconds`; `call` is the number of its submit."""
        ...

    def on_throttle(self, what: What, seconds: float, error: FoxError | None) -> None:
        """Requests of one kind wait for `seconds`: because of the refusal `error`, or of a limit of our own."""
        ...

    def on_saved(self, task_id: str | None, path: Path, sha256: str, size: int, seconds: float) -> None:
        """A file of `size` bytes is on disk, whole; fetching and writing it took `seconds`."""
        ...
