"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from foxapi_async._version import __version__
from foxapi_async.cli._cluster_options import add_cluster, add_database, add_worker
from foxapi_async.cli._one_line_parser import OneLineParser
from foxapi_async.cli._shared_options import (
    add_common,
    add_dsn,
    add_estimates,
    add_out,
    add_timeout,
    count_option,
    credits_option,
    pair,
    port_option,
    positive,
)

EMULATOR_SECONDS = 4.0
_LEARNS = "file for the learned durations and prices; nothing is learned from an emulator"


_FIELDS = {
    "generate": "Only the given fields are sent. --model NAME --help also shows the fields of that model.",
    "batch": "A line that does not set a field gets it from here. --model NAME --help also shows the fields of that model.",
}
"""The help text above the fields of a request, for each command that takes them."""


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of `foxapi`.

    It makes the options of a command only if the command line, `words`, contains the name of the command. The
    options need imports: all models for `generate`, the input formats for `batch`, a web server for `emulator`.
    """
    parser = OneLineParser(
        prog="foxapi",
        description="Make images with FoxAPI.",
        epilog="The key is read from FOXAPI_API_KEY, the service's address from FOXAPI_BASE_URL.",
    )
    parser.add_argument("--version", action="version", version=f"foxapi-async {__version__}")
    add_common(parser, top=True)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog="foxapi")
    for name, (meaning, add_options) in COMMANDS.items():
        command = _command(commands, name, meaning)
        if name in words:
            add_common(command, top=False)
            add_options(command)
            if name in _FIELDS:
                _add_request(command, words, _FIELDS[name])
    return parser


EXAMPLES = {
    "generate": ('"a red fox in the snow" --emulator', '"make it night" --image fox.jpg --out night'),
    "batch": ("prompts.jsonl --check --price 5", "products.csv --extra keep --out out --budget 5000"),
    "worker": ("--out shared", "--dsn postgresql://fox@db.example/fox --out shared --concurrency 500"),
    "cluster": ("migrate", "cancel foxes --dsn postgresql://fox@db.example/fox"),
    "status": ("out", "task-unified-1757165031-uyujaw3d"),
    "report": ("out", "out --json"),
    "export": ("out --to results.xlsx", "out --csv"),
    "wait": ("task-unified-1757165031-uyujaw3d", "task-unified-1757165031-uyujaw3d --out late --overwrite"),
    "upload": ("fox.jpg", "fox.jpg --json"),
    "models": ("--type video", "gpt-image-2"),
    "credits": ("", "--json"),
    "serve": ("--emulator", "--port 9000 --out pictures"),
    "emulator": ("--port 8765", "--port 8765 --fault-rate 0.05"),
    "doctor": ("", "--json"),
    "completion": ("bash", "fish"),
}
"""Two command lines for the end of each command's help."""


def _command(commands: Any, name: str, meaning: str) -> argparse.ArgumentParser:
    description = f"{meaning[0].upper()}{meaning[1:]}."
    examples = "\n".join(f"  foxapi {name} {words}".rstrip() for words in EXAMPLES[name])
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=meaning, description=description, epilog=f"examples:\n{examples}"
    )
    return parser


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompt", metavar="PROMPT", nargs="?", help="what to generate; - reads it from standard input"
    )
    parser.add_argument(
        "--prompt",
        metavar="PROMPT",
        dest="prompts",
        action="append",
        default=[],
        help="one more prompt; each prompt is submitted separately, and all run at the same time (repeatable)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the request and a curl command; send nothing"
    )
    add_out(parser)
    _add_name(parser, "{prompt} (with _ instead of spaces and other signs), ")
    parser.add_argument("--overwrite", action="store_true", help="replace image files that exist already")
    add_timeout(parser)
    add_estimates(parser, _LEARNS)
    _add_service(parser)


def _add_request(parser: argparse.ArgumentParser, words: Sequence[str], meaning: str) -> None:
    """The options of a request, without the prompt. The model that `words` name adds its fields."""
    from foxapi_async.cli._fields import add_field, model_in, option_fields  # noqa: PLC0415 - with all models
    from foxapi_async.models import DEFAULT_MODEL  # noqa: PLC0415 - as above

    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="model id (default: %(default)s)")
    fields = parser.add_argument_group("the model's fields", meaning)
    for name, specs in option_fields(model_in(words)).items():
        if name != "prompt":
            add_field(fields, name, specs)
    raw = parser.add_argument_group(
        "other models and fields",
        "`foxapi models NAME` shows the options of a model. With --path nothing is checked.",
    )
    raw.add_argument(
        "--param",
        metavar="KEY=VALUE",
        action="append",
        type=pair,
        help="send any field; VALUE is JSON, or else text (repeatable)",
    )
    raw.add_argument("--path", help="another generation endpoint, such as /v1/videos/generations")


def _add_batch(parser: argparse.ArgumentParser) -> None:
    from foxapi_async._batch.input.lines import SUFFIXES  # noqa: PLC0415 - it imports the reader of input files

    parser.add_argument(
        "file",
        metavar="FILE",
        help="one request per line, or per row of a table; - reads standard input as it arrives",
    )
    parser.add_argument(
        "--format",
        choices=tuple(dict.fromkeys(SUFFIXES.values())),
        help=f"the format of FILE (default: from its ending, {' '.join(SUFFIXES)}; for standard input, from its first line)",
    )
    parser.add_argument(
        "--delimiter",
        type=_character,
        metavar="C",
        help="the character between two cells of a table (default: found in the header)",
    )
    parser.add_argument(
        "--extra",
        choices=("refuse", "keep"),
        default="refuse",
        help="columns of a table that are not fields: refuse them, or keep them in the manifest (default: %(default)s)",
    )
    add_out(
        parser,
        "folder of the batch, for images, manifest.jsonl and the ledger; with it, the same command continues",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read all of FILE, report its errors and the images it would make; send nothing",
    )
    _add_flow(parser.add_argument_group("flow and cost"))
    add_database(parser.add_argument_group("with workers on several machines"))
    _add_ledger(parser)
    add_timeout(parser)
    add_estimates(parser, _LEARNS)
    _add_service(parser)


def _add_flow(group: argparse._ArgumentGroup) -> None:
    for name, metavar, kind, meaning in (
        ("max-in-flight", "N", count_option, "the most items in progress (default: 100)"),
        ("submits-per-second", "X", positive, "the most submits per second (default: no limit)"),
        ("polls-per-second", "X", positive, "the most polls of tasks per second (default: no limit)"),
        (
            "budget",
            "CREDITS",
            credits_option,
            "the most credits for all runs of this folder; when it is reached, the exit status is 4",
        ),
        ("price", "CREDITS", credits_option, "credits of one image, until the service reports them"),
    ):
        group.add_argument(f"--{name}", metavar=metavar, type=kind, help=meaning)
    group.add_argument("--retry-failed", action="store_true", help="submit (and pay for) failed items again")
    group.add_argument(
        "--resubmit-uncertain",
        action="store_true",
        help="send items again that got no answer and may have been billed already",
    )


def _add_ledger(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the ledger of the folder")
    group.add_argument(
        "--rebuild-ledger",
        action="store_true",
        help="make a lost ledger again from submitted.jsonl and manifest.jsonl; an item that may have been sent is not sent again",
    )
    group.add_argument(
        "--other-origin",
        action="store_true",
        help="continue although the folder was begun at a service with another address",
    )


def _character(text: str) -> str:
    if len(text) == 1 or text == "\\t":
        return text.replace("\\t", "\t")
    raise argparse.ArgumentTypeError(f"{text!r} is not one character")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder of a batch")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder of a batch")
    forms = parser.add_mutually_exclusive_group()
    for name, meaning in (
        ("csv", "a table that Excel opens (default, unless FILE has another ending)"),
        ("jsonl", "a JSON object for each item"),
        ("xlsx", "a workbook, which needs --to"),
    ):
        forms.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=meaning)
    parser.add_argument("--to", metavar="FILE", help="write this file (default: standard output)")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists already")


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id",
        metavar="ID_OR_OUT",
        help="task id, or the folder of a batch; with --dsn, the name of a batch in the database",
    )
    add_dsn(parser, "the database of a batch")
    _add_service(parser)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+", help="task id")
    add_out(parser)
    _add_name(parser, "")
    parser.add_argument("--overwrite", action="store_true", help="replace image files that exist already")
    add_timeout(parser)
    add_estimates(parser, _LEARNS)
    _add_service(parser)


def _add_upload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the image, at most 100 MB")
    _add_service(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s); access from other machines requires a token",
    )
    parser.add_argument(
        "--port", type=port_option, default=8000, help="port, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--token",
        help="token that a browser must send, at least 16 characters (default: none on this machine, else a new one)",
    )
    meaning = (
        "folder of the page, for images, manifest.jsonl and the ledger; with it, the next page continues"
    )
    add_out(parser, meaning, default="foxapi-page")
    _add_ledger(parser)
    add_timeout(parser)
    add_estimates(parser, _LEARNS)
    _add_service(parser)


def _add_emulator(parser: argparse.ArgumentParser) -> None:
    from foxapi_async.emulator.__main__ import add_arguments  # noqa: PLC0415 - a web server, rarely needed

    add_arguments(parser)


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that reads the script")


def _add_name(parser: argparse.ArgumentParser, fields: str) -> None:
    parser.add_argument(
        "--name",
        help=f"file name without ending, may contain {fields}{{id}} (the task) and {{n}} (1 for its first image); default: {{id}}-{{n}}",
    )


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emulator",
        action="store_true",
        help="use an emulator of the service inside this command: no key, no bill",
    )
    parser.add_argument(
        "--emulator-seconds",
        metavar="SECONDS",
        type=positive,
        default=EMULATOR_SECONDS,
        help="how long its tasks take (default: about 4)",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    from foxapi_async.models._catalogue import MEDIA  # noqa: PLC0415 - with all models

    parser.add_argument("name", metavar="NAME", nargs="?", help="show the fields of this model")
    parser.add_argument("--type", choices=MEDIA, help="only models that make this")
    parser.add_argument(
        "--search", metavar="WORDS", help="only models with these words in their id or fields"
    )
    parser.add_argument(
        "--mine", action="store_true", help="only models that the key may call; asks the service"
    )
    _add_service(parser)
    add_estimates(parser, "file of the learned prices")


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "generate": ("make images from a prompt, wait for them and save them", _add_generate),
    "batch": ("make images from many prompts; the same command again continues", _add_batch),
    "worker": ("work on the batches of a database, together with other machines", add_worker),
    "cluster": (
        "set up the database of workers, and pause, resume, cancel or remove its batches",
        add_cluster,
    ),
    "status": ("show a task once, or a batch", _add_status),
    "report": ("make a page with the results of a batch", _add_report),
    "export": ("write the items of a batch and their results, for a spreadsheet or a program", _add_export),
    "wait": ("wait for tasks of an earlier run, and save their images", _add_wait),
    "upload": ("store an input image for 72 hours and print its URL", _add_upload),
    "models": ("list the known models, or show the fields of one", _add_models),
    "credits": ("show the credits of the key and its account; nothing is billed", _add_service),
    "serve": ("make images on a page in your browser", _add_serve),
    "emulator": ("run an emulator of FoxAPI on this machine", _add_emulator),
    "doctor": ("check the key, the address, proxy, certificate, clock and disk; nothing is billed", add_out),
    "completion": ("print a script that completes commands in your shell", _add_completion),
}
"""Each command: its help, and the function that adds its options."""
