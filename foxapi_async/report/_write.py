"""Writes the page of a batch into its folder."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from foxapi_async._batch.folder import LEDGER, MANIFEST
from foxapi_async._errors import InvalidRequestError, LedgerError
from foxapi_async._ledger.file_errors import explained
from foxapi_async._ledger.protocol import Totals
from foxapi_async._ledger.schema import open_to_read
from foxapi_async._ledger.statements import totals
from foxapi_async.report._manifest import read_manifest
from foxapi_async.report._page import page_of

REPORT = "report.html"


def write_report(out: Path) -> Path:
    """Write `out/report.html` from `out/manifest.jsonl` and return its path. An older page stays until
    the new one is written. The sum of credits comes from the ledger, as in `foxapi status`; without a ledger, from the manifest.

    Raises:
        InvalidRequestError: there is no readable manifest, or the page cannot be written there.
    """
    try:
        manifest = read_manifest(out / MANIFEST)
    except OSError as error:
        problem = f"{out / MANIFEST}: {error.strerror}; give the folder of a batch"
    else:
        try:
            return _replace(out / REPORT, page_of(manifest, out.absolute().name, _totals(out / LEDGER)))
        except OSError as error:
            problem = f"{out / REPORT}: {error.strerror}"
    raise InvalidRequestError(problem)


def _totals(path: Path) -> Totals | LedgerError | None:
    """The totals of the ledger, or why they cannot be read; None if there is no ledger."""
    if not path.exists():
        return None
    try:
        file = open_to_read(path)
    except LedgerError as error:
        return error
    try:
        return totals(file.connection)
    except sqlite3.Error as error:
        return explained(path, error)
    finally:
        file.close()


def _replace(path: Path, text: str) -> Path:
    # A random name, so that two reports at the same time do not write into each other.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        part.chmod(0o644)  # mkstemp's file is readable only by its owner
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
