"""Reads and checks a request, input files and an output folder from a command line, before anything is sent."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from foxapi_async._errors import ConfigurationError, InvalidRequestError, parts_of
from foxapi_async._files.names import (
    DEFAULT_NAME,
    ENDINGS,
    has_ending,
    image_stem,
    name_problem,
    with_prompt,
)
from foxapi_async._files.upload_source import input_problem
from foxapi_async._hints import Hint
from foxapi_async._http.credentials import resolve_credentials
from foxapi_async._wire.requests import check_task_id
from foxapi_async._wire.texts import short
from foxapi_async.cli._fields import json_or_text, option_fields, options_of
from foxapi_async.models import (
    DEFAULT_MODEL,
    MODELS,
    GenerationRequest,
    RawRequest,
    model_definition,
    parse_request,
)
from foxapi_async.models._catalogue import definition_of, is_known
from foxapi_async.models._file_fields import map_files
from foxapi_async.models._parse import near_miss
from foxapi_async.models._raw import DEFAULT_PATH
from foxapi_async.models._values import FieldValue

_URL = re.compile(r"(https?:|data:)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def read_requests(args: Namespace) -> list[GenerationRequest]:
    """The requests that the options describe, one for each prompt.

    Raises:
        InvalidRequestError: a request is wrong, there is no prompt, or an input image cannot be read.
    """
    prompts = [*([] if args.prompt is None else [args.prompt]), *args.prompts]
    given = _given_fields(args)
    if not prompts and _needs_no_prompt(args):
        return [_make_request(args, given)]
    if not prompts:
        raise InvalidRequestError("give a PROMPT, or several with --prompt")
    return [_make_request(args, {**given, "prompt": read_prompt(prompt)}) for prompt in prompts]


def _needs_no_prompt(args: Namespace) -> bool:
    if args.path is not None or not is_known(args.model):
        return False
    return not any(spec.name == "prompt" and spec.required for spec in definition_of(args.model).fields)


def _make_request(args: Namespace, given: dict[str, Any]) -> GenerationRequest:
    if args.path is None and is_known(args.model):
        return _make_checked(args.model, given | _params_with_files(args))
    if args.param or args.path is not None:
        return _make_raw(args, given)
    if args.model in MODELS:
        return _make_checked(args.model, given)
    _refuse_typo(args.model)
    return _make_raw(args, given)


def _make_checked(model: str, given: dict[str, Any]) -> GenerationRequest:
    """A request for a known model. The errors name options."""
    definition = model_definition(model)
    unknown = [name for name in given if definition.is_whole and definition.field(name) is None]
    its_options = ", ".join(options_of(spec.name)[0] for spec in definition.fields)
    problems = [f"{options_of(name)[0]}: {model} has no {name}; it takes {its_options}" for name in unknown]
    hint = Hint.SEND_RAW if problems else None
    request = None
    try:
        request = parse_request(
            {"model": model, **{name: given[name] for name in given if name not in unknown}}
        )
    except InvalidRequestError as error:
        problems += [_in_options(line, model) for line in error.problems]
        hint = hint or error.hint
    if request is not None and not problems:
        return request
    raise InvalidRequestError(problems=problems, hint=hint)


def _params_with_files(args: Namespace) -> dict[str, Any]:
    """The fields from --param, with local files as paths."""
    return {
        key: map_files({key: value}, partial(_read_file, f"--param {key}"))[key]
        for key, value in _params_as_given(args).items()
    }


def _params_as_given(args: Namespace) -> dict[str, Any]:
    """The fields from --param as they are."""
    return {key: json_or_text(text) for key, text in args.param or ()}


def _read_file(option: str, file: Any) -> Any:
    return read_image(option, file) if isinstance(file, str) else file


def read_defaults(args: Namespace) -> dict[str, Any]:
    """The fields from the options, for lines of a batch that do not set them.

    Raises:
        InvalidRequestError: a value fits no model, or an input image cannot be read.
    """
    given = _given_fields(args)
    if args.param or args.path is not None:
        if args.path is None and is_known(args.model):
            return {"model": args.model, **given, **_params_with_files(args)}
        return {"model": args.model, **given, **_params_as_given(args), "path": args.path or DEFAULT_PATH}
    if is_known(args.model):
        return {"model": args.model, **given}
    if args.model not in MODELS:
        _refuse_typo(args.model)
    problems = [
        _in_options(line, args.model) for name, value in given.items() for line in _misfits(name, value)
    ]
    if problems:
        raise InvalidRequestError(problems=problems)
    return {"model": args.model, **given}


def _given_fields(args: Namespace) -> dict[str, Any]:
    """The fields that the options set, without the prompt."""
    given = {
        name: value
        for name in option_fields(args.model)
        if name != "prompt" and (value := getattr(args, name, None)) is not None
    }
    return {
        name: map_files({name: value}, partial(read_image, options_of(name)[-1]))[name]
        for name, value in given.items()
    }


def _misfits(name: str, value: FieldValue) -> list[str]:
    """The faults of a value that no model with this field accepts. A value that one model accepts has no faults here,
    because a line may name this model.
    """
    value = tuple(value) if isinstance(value, list) else value
    found = [list(spec.problems(value)) for spec in option_fields(DEFAULT_MODEL)[name].values()]
    return found[0] if all(found) else []


def _in_options(problem: str, model: str) -> str:
    """A line of `InvalidRequestError.problems` with options in place of fields; the value stays as it is."""
    known = ("params", "model", "path", *option_fields(model))
    return "".join(
        part if not part or place % 2 else options_of(part)[-1] if part in known else f"--param {part}"
        for place, part in enumerate(parts_of(problem))
    )


def _make_raw(args: Namespace, given: dict[str, Any]) -> RawRequest:
    prompt = given.pop("prompt") or None
    params = given | _params_as_given(args)
    try:
        return RawRequest(args.model, prompt, params=params, path=args.path or DEFAULT_PATH)
    except InvalidRequestError as error:
        problems = [_in_options(line, args.model) for line in error.problems]
    raise InvalidRequestError(problems=problems)


def _refuse_typo(model: str) -> None:
    if meant := near_miss(model):
        raise InvalidRequestError(
            f"--model {model}: did you mean {meant}? (--path {model_definition(meant).path} sends any model unchecked)"
        )


def read_prompt(prompt: str) -> str:
    """The prompt, or standard input if it is `-`.

    Raises:
        InvalidRequestError: standard input is closed, cannot be read, or is not text.
    """
    if prompt != "-":
        return prompt
    problem = "PROMPT -: standard input: it is closed"
    try:
        if sys.stdin is not None:
            return sys.stdin.read().strip()
    except UnicodeDecodeError:
        problem = "PROMPT -: standard input is not text in this terminal's encoding"
    except OSError as error:
        problem = f"PROMPT -: standard input: {_reason(error)}"
    raise InvalidRequestError(problem)


def read_image(option: str, text: str) -> str | Path:
    """A URL as it is, or the path of a file that can be read. Errors name the `option`.

    Raises:
        InvalidRequestError: there is no such file, it cannot be read or is empty.
    """
    if _URL.match(text):
        return text
    if _SCHEME.match(text):
        raise InvalidRequestError(f"{option} {text}: give a local file, an http(s) URL or a data URI")
    if problem := input_problem(text):
        raise InvalidRequestError(f"{option} {text}: {problem}")
    return Path(text)


def read_service(args: Namespace) -> str:
    """Where the requests of a command go, in words.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """
    if args.emulator:
        return "an emulator in this command"
    credentials = resolve_credentials(None, None, allow_http=False, environ=os.environ)
    if isinstance(credentials, ConfigurationError):
        raise credentials
    return credentials.base_url


def read_task(args: Namespace) -> tuple[str, str]:
    """The service that `foxapi status` asks for a task, in words, and a remark that there is no folder of this name.

    The remark is empty if the name begins with `task-`. All known ids of FoxAPI begin so, but it may give other ids.

    Raises:
        InvalidRequestError: it cannot be a task id; or there is no usable key, and a folder may be meant.
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """
    if os.path.exists(args.id):  # noqa: PTH110 - Path.exists raises if the name is too long
        raise InvalidRequestError(f"{args.id} is a file; give the folder of a batch, or a task id")
    no_folder = "" if args.id.startswith("task-") else f"there is no folder {short(args.id)} here"
    try:
        check_task_id(args.id)
        return read_service(args), no_folder
    except (InvalidRequestError, ConfigurationError) as error:
        problem = error
    if not no_folder:
        raise problem
    text = f"{no_folder}, and no task can be looked up: {problem.what_happened}"
    raise InvalidRequestError(text, hint=problem.hint)


def read_batch_folder(text: str) -> Path:
    """The folder of a batch.

    Raises:
        InvalidRequestError: there is no such folder, or no batch has begun there.
    """
    from foxapi_async._batch.folder import OWN_FILES  # noqa: PLC0415 - a database, which only batches need

    folder = Path(text)
    if not os.path.isdir(text):  # noqa: PTH112 - Path.is_dir raises if the name is too long
        raise InvalidRequestError(f"there is no folder {text}; give the folder of a batch")
    if not any(os.path.lexists(folder / name) for name in OWN_FILES):
        raise InvalidRequestError(f"no batch has begun in the folder {text}; give the folder of a batch")
    return folder


def open_folder(text: str) -> Path:
    """The output folder. It is made if it is missing, and tested with a temporary file.

    Raises:
        InvalidRequestError: it cannot be made, or no file can be written there.
    """
    folder = Path(text)
    if has_ending(folder):
        raise InvalidRequestError(
            f"--out {text}: this is the folder for the images; give a name without {folder.suffix}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:
        problem = _reason(error)
    raise InvalidRequestError(f"--out {text}: {problem}; give a folder that can be written to")


def read_name(name: str | None, fields: Sequence[str]) -> str:
    """The name for images, with fields.

    Raises:
        InvalidRequestError: it has another field, or is no file name.
    """
    if name is None:
        return DEFAULT_NAME
    if problem := name_problem(name, fields):
        raise InvalidRequestError(f"--name {name}: {problem}")
    return name


def fill_prompts(
    name: str, requests: Sequence[GenerationRequest], folder: Path, *, overwrite: bool
) -> list[str]:
    """The name for the images of each request, with its prompt filled in.

    Raises:
        InvalidRequestError: a name is too long with its prompt, two images would get the same name, or a file has
            the name already.
    """
    # The `foxapi wait` command that resumes the task gets the filled name. It takes only these fields.
    names = [read_name(with_prompt(name, request.prompt or ""), ("id", "n")) for request in requests]
    if "{id}" in name:
        return names
    stems = [
        image_stem(each, "", n, request.expected)
        for each, request in zip(names, requests, strict=True)
        for n in range(1, request.expected + 1)
    ]
    # On macOS and Windows `Cat` and `cat` are one file.
    if len({stem.casefold() for stem in stems}) < len(stems):
        raise InvalidRequestError(f"--name {name}: two images would get the same name; add {{id}}")
    found = (folder / f"{stem}{ending}" for stem in stems for ending in ENDINGS)
    if not overwrite and (path := next(filter(Path.exists, found), None)):
        raise InvalidRequestError(
            f"{path} exists already; choose another --name, or add {{id}} to it, or use --overwrite"
        )
    return names


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EEXIST:
        return "a file has that name"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
