"""Keeps estimates in a file from one session to the next."""

from __future__ import annotations

import json
import os
from pathlib import Path

from foxapi_async._cadence.estimates import Estimates
from foxapi_async._errors import ConfigurationError
from foxapi_async._files.disk import part_file
from foxapi_async._listener import about, log
from foxapi_async._threads import in_thread


def check_estimates(given: Estimates | str | os.PathLike[str] | None) -> Estimates | Path:
    """The given estimates, new ones, or the path of a file.

    Raises:
        ConfigurationError: the value is neither an `Estimates` nor a path.
    """
    if given is None:
        return Estimates()
    if isinstance(given, str | os.PathLike):
        return Path(given)
    if isinstance(given, Estimates):
        return given
    raise ConfigurationError(f"estimates={given!r}: give an Estimates or the path of a file")


async def load_estimates(path: Path) -> Estimates:
    """The same as `read_estimates`, in a thread."""
    return await in_thread(read_estimates, path)


def read_estimates(path: Path) -> Estimates:
    """The estimates in the file; empty ones if there is no file.

    Raises:
        ConfigurationError: the file cannot be read or has other content.
    """
    problem = ""
    try:
        text = path.read_text("utf-8") if path.exists() else None
        return Estimates() if text is None else Estimates.from_dict(json.loads(text))
    except (OSError, ValueError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    except ConfigurationError as error:
        problem = error.what_happened
    raise ConfigurationError(f"estimates={str(path)!r}: {problem}")


async def save_estimates(estimates: Estimates, path: Path) -> None:
    """Write the estimates. Readers see the old file or the new one. A failure is only logged, because without the file
    the next session only makes a few more polls.
    """
    body = json.dumps(estimates.to_dict(), separators=(",", ":")).encode()
    try:
        async with part_file(path.parent, path.name) as part:
            await part.write(body)
            await in_thread(part.commit, path, overwrite=True)
    except (OSError, ValueError) as error:  # ValueError: the path cannot be a file name
        why = getattr(error, "strerror", None) or error
        log.warning("the estimates could not be saved in %s: %s", path, why, extra=about("estimates_unsaved"))
