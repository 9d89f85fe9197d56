"""Writes the page of a batch into its folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from foxapi_async._errors import InvalidRequestError
from foxapi_async.report._manifest import read_manifest
from foxapi_async.report._page import page_of

MANIFEST = "manifest.jsonl"
REPORT = "report.html"


def write_report(out: Path) -> Path:
    """Write `out/report.html` from `out/manifest.jsonl` and return its path. An older page is replaced at the
    end.

    Raises:
        InvalidRequestError: there is no readable manifest, or the page cannot be written there.
    """
    try:
        manifest = read_manifest(out / MANIFEST)
    except OSError as error:
        problem = f"{out / MANIFEST}: {error.strerror}; give the folder of a batch"
    else:
        try:
            return _replace(out / REPORT, page_of(manifest, out.absolute().name))
        except OSError as error:
            problem = f"{out / REPORT}: {error.strerror}"
    raise InvalidRequestError(problem)


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
