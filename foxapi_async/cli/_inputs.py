"""What the command line asks for, checked before anything is sent: prompt, request, input files, output folder."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from foxapi_async._errors import InvalidRequestError
from foxapi_async._results import IMAGE_SUFFIXES
from foxapi_async.cli._parser import fields_by_name, options_of
from foxapi_async.models import MODELS, GenerationRequest, RawRequest
from foxapi_async.models._raw import DEFAULT_PATH

_URL = re.compile(r"(https?:|data:)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# How a line of `InvalidRequestError.problems` begins.
_FIELD = re.compile(r"^(\w+)(?=[=:\[])")
# Near enough for a slip of the keyboard or a forgotten ending, far from every other documented model.
_CLOSE = 0.75


def read_request(args: Namespace) -> GenerationRequest:
    """The request that the options describe.

    Raises:
        InvalidRequestError: it would be refused, or an input image cannot be read.
    """
    given = {name: value for name in fields_by_name() if (value := getattr(args, name)) is not None}
    given["prompt"] = _read_prompt(args.prompt)
    if images := given.get("image_urls"):
        given["image_urls"] = [read_image(image) for image in images]
    if args.param or args.path is not None:
        return _make_raw(args, given)
    if args.model in MODELS:
        return _make_typed(args.model, given)
    _refuse_typo(args.model)
    return _make_raw(args, given)


def _read_prompt(prompt: str) -> str:
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        problem = "PROMPT -: standard input is no text in this terminal's encoding"
    raise InvalidRequestError(problem)


def read_image(text: str) -> str | Path:
    """A URL as it is, anything else as the path of a file that can be read.

    Raises:
        InvalidRequestError: there is no such file, it cannot be read or is empty.
    """
    if _URL.match(text):
        return text
    if _SCHEME.match(text):
        raise InvalidRequestError(f"--image {text}: give a local file, an http(s) URL or a data URI")
    path = Path(text)
    try:
        with path.open("rb") as file:
            problem = "" if file.read(1) else "the file is empty"
    except (OSError, ValueError) as error:  # a null byte is a ValueError
        problem = getattr(error, "strerror", None) or str(error)
    if problem:
        raise InvalidRequestError(f"--image {text}: {problem}")
    return path


def _make_typed(model: str, given: dict[str, Any]) -> GenerationRequest:
    cls = MODELS[model]
    names = [spec.name for spec in cls.fields()]
    its_options = ", ".join(options_of(name)[0] for name in names)
    problems = [
        f"{options_of(name)[0]}: {model} has no {name}; it takes {its_options}"
        for name in given
        if name not in names
    ]
    try:
        request = cls.from_fields({name: value for name, value in given.items() if name in names})
    except InvalidRequestError as error:
        problems += [_FIELD.sub(lambda found: options_of(found[1])[-1], line) for line in error.problems]
    if not problems:
        return request
    text = "; ".join(problems)
    raise InvalidRequestError(f"{text} (--param KEY=VALUE sends a field unchecked)", problems=tuple(problems))


def _make_raw(args: Namespace, given: dict[str, Any]) -> RawRequest:
    prompt = given.pop("prompt") or None
    params = given | {key: _value(text) for key, text in args.param or ()}
    return RawRequest(args.model, prompt, params=params, path=args.path or DEFAULT_PATH)


def _value(text: str) -> Any:
    """JSON where it is, text where it is not."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _refuse_typo(model: str) -> None:
    close = difflib.get_close_matches(model[:100], MODELS, n=1, cutoff=_CLOSE)
    # An id that has more than the known one (a vendor before it, a variant behind it) is meant.
    if close and close[0] not in model:
        raise InvalidRequestError(
            f"--model {model}: did you mean {close[0]}? (--path {DEFAULT_PATH} sends any model unchecked)"
        )


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
