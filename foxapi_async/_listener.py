"""The reports that lower packages make while they work, in plain arguments. A session's hooks get them as notices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from foxapi_async._errors import FoxError

What = Literal["submit", "poll", "fetch", "upload", "download"]


class Listener(Protocol):
    """Receives reports. A caller may have no listener. Durations are in seconds."""

    def on_retry(
        self,
        what: What,
        seconds: float,
        error: FoxError,
        *,
        task_id: str | None = None,
        call: int | None = None,
    ) -> None:
        """A request failed with `error` and is repeated after `seconds`. `call` is the number of its submit."""
        ...

    def on_throttle(self, what: What, seconds: float, error: FoxError | None) -> None:
        """Requests of one kind wait for `seconds`, because of the refusal `error` or of our own limit."""
        ...

    def on_saved(self, task_id: str | None, path: Path, sha256: str, size: int, seconds: float) -> None:
        """A whole file of `size` bytes is on disk. Fetching and writing it took `seconds`."""
        ...
