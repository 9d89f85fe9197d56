"""The options of the commands for batches in a database."""

from __future__ import annotations

import argparse

from foxapi_async.cli._shared_options import (
    add_common,
    add_dsn,
    add_out,
    add_timeout,
    count_option,
    credits_option,
    number_option,
    positive,
)


def add_database(group: argparse._ArgumentGroup) -> None:
    add_dsn(group, "let the workers of this database run the batch; this command shows it")
    group.add_argument(
        "--batch",
        metavar="ID",
        help="name of the batch in the database; the command joins a batch that exists already (default: the name of the folder, which must be new)",
    )


def add_worker(parser: argparse.ArgumentParser) -> None:
    add_out(parser, "folder for the images; each batch has a folder of its own in it")
    add_dsn(parser, "the database (default: that of FOXAPI_DSN)")
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=count_option,
        default=300,
        help="the most items of a batch in progress (default: %(default)s)",
    )
    parser.add_argument(
        "--submits-per-second",
        metavar="X",
        type=positive,
        help="the most submits per second of all workers with the same key; give each of them the same value (default: no limit)",
    )
    parser.add_argument(
        "--polls-per-second",
        metavar="X",
        type=positive,
        help="the most polls of tasks per second of this worker (default: no limit)",
    )
    parser.add_argument(
        "--lease",
        metavar="SECONDS",
        type=number_option("a number of seconds, 1 or more", lambda value: value >= 1),
        default=30.0,
        help="how long a worker may send without the database; after twice this time it is replaced (default: %(default)g)",
    )
    parser.add_argument("--until-done", action="store_true", help="end when no batch has items to work on")
    parser.add_argument(
        "--recover",
        metavar="FILE",
        help="only write the ids in this file to the database; a worker left it when it could not write them",
    )
    add_timeout(parser)


def add_cluster(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", title="actions", prog="foxapi cluster", required=True
    )
    made: dict[str, argparse.ArgumentParser] = {}
    for name, meaning in (
        ("migrate", "make the tables, or bring them up to date"),
        ("forget", "declare a worker dead whose process has crashed"),
        ("pause", "send nothing more of a batch until it is resumed"),
        ("resume", "continue with a paused batch"),
        ("cancel", "end a batch; it cannot be resumed"),
        ("remove", "remove a batch that is over, and all its data in the database"),
    ):
        description = f"{meaning[0].upper()}{meaning[1:]}."
        made[name] = action = actions.add_parser(name, help=meaning, description=description)
        add_common(action, top=False)
        add_dsn(action, "the database (default: that of FOXAPI_DSN)")
    made["migrate"].add_argument(
        "--print", action="store_true", help="print the script for an empty database, and change nothing"
    )
    made["forget"].add_argument(
        "worker", metavar="WORKER", type=count_option, help="its number, as `foxapi status` shows it"
    )
    given = made["pause"].add_mutually_exclusive_group(required=True)
    given.add_argument("batch", metavar="BATCH", nargs="?", help="name of the batch")
    given.add_argument("--all", action="store_true", help="all batches, after a restore of the database")
    for name in ("resume", "cancel", "remove"):
        made[name].add_argument("batch", metavar="BATCH", help="name of the batch")
    made["resume"].add_argument(
        "--budget", metavar="CREDITS", type=credits_option, help="a new limit for the whole batch"
    )
