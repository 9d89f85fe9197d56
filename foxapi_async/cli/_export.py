"""`foxapi export`: the items of a batch with their results, for a spreadsheet or a program."""

from __future__ import annotations

import asyncio
import functools
from argparse import Namespace
from pathlib import Path
from typing import cast

from foxapi_async._batch.export import BatchTable, open_table
from foxapi_async._batch.export_files import CUT, LONGEST_CELL, BatchExport, ExportForm
from foxapi_async._batch.folder import LEDGER, OWN_FILES
from foxapi_async._errors import InvalidRequestError
from foxapi_async._files.disk import part_file
from foxapi_async._threads import in_thread
from foxapi_async._wire.texts import counted
from foxapi_async.cli import _exits
from foxapi_async.cli._requests import read_batch_folder
from foxapi_async.cli._screen import Screen

_ENDINGS: dict[str, ExportForm] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx"}
_OF_A_BATCH = frozenset({*OWN_FILES, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal"})
_TAKEN = "the file exists already; choose another name, or use --overwrite"


async def export_batch(args: Namespace, screen: Screen) -> int:
    """Write the items of a batch. Returns the exit status.

    Raises:
        ConfigurationError: a workbook is asked for, and openpyxl is not installed.
        InvalidRequestError: there is no such batch, the options do not fit each other, or the file cannot be written.
        LedgerError: the ledger cannot be read.
    """
    form = _form_of(args, screen)
    with open_table(read_batch_folder(args.out)) as table:
        export = BatchExport(table)
        if args.to is None:
            await screen.content(export.pieces(form))
        else:
            await _write(export, form, Path(args.to), overwrite=args.overwrite)
            screen.line(args.to)
            screen.data({"path": args.to, "rows": len(table)})
        _show_gaps(table, export, screen)
    return _exits.DONE


def _form_of(args: Namespace, screen: Screen) -> ExportForm:
    if args.to is not None:
        ending = Path(args.to).suffix.lower()
        if args.form is None and ending and ending not in _ENDINGS:
            raise InvalidRequestError(
                f"--to {args.to}: no format has the ending {ending}; use .csv, .jsonl or .xlsx, or name the format"
            )
        return cast(ExportForm, args.form or _ENDINGS.get(ending, "csv"))
    if args.form == "xlsx":
        raise InvalidRequestError("--xlsx writes a file: give its name with --to")
    if screen.as_json and args.form == "csv":
        raise InvalidRequestError("--csv prints no JSON: leave out --json, or give a file with --to")
    return cast(ExportForm, args.form or ("jsonl" if screen.as_json else "csv"))


async def _write(export: BatchExport, form: ExportForm, path: Path, *, overwrite: bool) -> None:
    """Write the file under another name, and rename it when it is whole."""
    try:
        problem = _obstacle(path, form, overwrite=overwrite)
        if problem is None:
            async with part_file(path.parent, path.name) as part:
                for piece in export.pieces(form):
                    await asyncio.sleep(0)  # Ctrl-C ends it here
                    await part.write(piece)
                await in_thread(functools.partial(part.commit, path, overwrite=overwrite))
            return
    except FileExistsError:
        problem = _TAKEN
    except OSError as error:
        problem = error.strerror or str(error)
    raise InvalidRequestError(f"--to {path}: {problem}")


def _obstacle(path: Path, form: ExportForm, *, overwrite: bool) -> str | None:
    """Why the file cannot be written, if that is known before the writing; else None."""
    if _ENDINGS.get(path.suffix.lower(), form) != form:
        return f"its ending is not that of --{form}"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    # On macOS and Windows, `Ledger.sqlite` is the same file.
    if path.name.casefold() in _OF_A_BATCH and (path.parent / LEDGER).exists():
        return "a batch needs this file; choose another name"
    # The last step would put a file in the place of `/dev/stdout`, a pipe or a link.
    if overwrite and (path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir()))):
        return "this is a link, a device or a pipe; give the name of a file"
    return _TAKEN if path.exists() and not overwrite else None


def _show_gaps(table: BatchTable, export: BatchExport, screen: Screen) -> None:
    """Report the texts that were cut, and the items that are not in the rows."""
    if export.cut:
        screen.error(
            f"{counted(export.cut, 'cell')} had more than {LONGEST_CELL:,} characters, the limit of a workbook: such a "
            f'cell ends with "{CUT}"'
        )
    if table.unknown:
        screen.note(
            f"{counted(table.unknown, 'item')} of the input have not begun, and are not in these rows"
        )
