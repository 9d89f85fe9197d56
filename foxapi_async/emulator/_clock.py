"""The only source of time: the loop's clock for progress, and the Unix time, which follows it."""

import time
from collections.abc import Callable


class Clock:
    """Moments in seconds of the running loop, and their Unix time.

    The system's clock is read once. After that, the Unix time moves with the loop. So `created` and the `Date` header
    agree with the progress of tasks, even on a loop whose time jumps.
    """

    def __init__(self) -> None:
        self._read: Callable[[], float] = lambda: 0.0
        self._offset = time.time()
        self._began = 0.0

    def start(self, read: Callable[[], float]) -> None:
        """Follow `read`, the `time` method of a running loop."""
        self._began = read()
        self._offset = time.time() - self._began
        self._read = read

    def stop(self) -> None:
        """Stop the clock, because tests may still read the tasks after the loop is closed."""
        last = self._read()
        self._read = lambda: last

    def now(self) -> float:
        """The present moment in seconds of the loop."""
        return self._read()

    def age(self) -> float:
        """The seconds since the start."""
        return self._read() - self._began

    def unix(self) -> float:
        """The present moment in Unix seconds."""
        return self._offset + self._read()
