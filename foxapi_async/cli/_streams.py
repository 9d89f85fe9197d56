"""The standard streams of a command. If one of them is closed or fails, the command continues to its end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from contextvars import ContextVar
from typing import BinaryIO, TextIO

_STDERR = 2

# Why standard output could not be written, in the running command.
_faults: ContextVar[list[str]] = ContextVar("faults")


@contextlib.contextmanager
def standard_streams() -> Generator[list[str]]:
    """Open the null device for each closed stream before the block, and flush the streams after it.

    Gives a list. If standard output could not be written, the list has the reason after the block. Else it is empty.

    A stream that the shell has closed (`>&-`) leaves its number free. The next file or socket would get the number,
    and the printed text would go into it. libuv aborts if it gets such a number.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    faults: list[str] = []
    token = _faults.set(faults)
    try:
        yield faults
    finally:
        # argparse, warnings and tracebacks leave text in the buffer. If the interpreter's last flush failed, it would
        # change the exit status.
        for stream in (sys.stdout, sys.stderr):
            put(stream, "")
        _faults.reset(token)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; not if it is missing or closed."""
    return stream is not None and not stream.closed and stream.isatty()


def put(stream: TextIO | None, data: str | bytes) -> bool:
    """Write a text, or bytes of UTF-8, at once. If the stream fails, its later output is discarded.

    The command continues then, because its running tasks are billed. A stream fails if its disk is full, or if the
    reader of the pipe has ended (`| head`). It is None if it was closed when Python started.

    Returns whether output is lost for a reader. A missing stream, and a pipe whose reader has ended, have no reader.
    """
    if stream is None:
        return False
    try:
        _write(stream, data)
        stream.flush()
    except (BrokenPipeError, ValueError):  # a closed stream is a ValueError
        _discard(stream)
    except OSError as error:
        _discard(stream)
        if stream is sys.stdout:
            _faults.get([]).append(error.strerror or str(error))
        return True
    return False


def _write(stream: TextIO, data: str | bytes) -> None:
    # A program may have replaced the stream by one that takes only texts.
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    if isinstance(data, bytes) and buffer is not None:
        buffer.write(data)
        return
    text = data.decode() if isinstance(data, bytes) else data
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal or pipe that is not UTF-8
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream to the null device, so that the interpreter's last flush raises no error."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
