"""What a command line names outside of itself, checked before anything is sent: prompt, input files, output folder."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from pathlib import Path

from foxapi_async._errors import InvalidRequestError
from foxapi_async._handles.result import IMAGE_SUFFIXES

_URL = re.compile(r"(https?:|data:)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def read_prompt(prompt: str) -> str:
    """The prompt; of standard input where it is `-`.

    Raises:
        InvalidRequestError: standard input is no text.
    """
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        problem = "PROMPT -: standard input is no text in this terminal's encoding"
    raise InvalidRequestError(problem)


def read_image(option: str, text: str) -> str | Path:
    """A URL as it is, anything else as the path of a file that can be read; `option` is where it was given.

    Raises:
        InvalidRequestError: there is no such file, it cannot be read or is empty.
    """
    if _URL.match(text):
        return text
    if _SCHEME.match(text):
        raise InvalidRequestError(f"{option} {text}: give a local file, an http(s) URL or a data URI")
    path = Path(text)
    try:
        with path.open("rb") as file:
            problem = "" if file.read(1) else "the file is empty"
    except (OSError, ValueError) as error:  # a null byte is a ValueError
        problem = getattr(error, "strerror", None) or str(error)
    if problem:
        raise InvalidRequestError(f"{option} {text}: {problem}")
    return path


def open_folder(text: str) -> Path:
    """The output folder, made if it is missing, and proved to take files.

    Raises:
        InvalidRequestError: it cannot be one.
    """
    folder = Path(text)
    if folder.suffix.lower() in IMAGE_SUFFIXES:
        raise InvalidRequestError(
            f"--out {text}: this is the folder for the images, give one without {folder.suffix}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:
        problem = _reason(error)
    raise InvalidRequestError(f"--out {text}: {problem}; give a folder that can be written to")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EEXIST:
        return "there is a file of that name"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
