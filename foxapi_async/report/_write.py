"""From the folder of a batch to its page."""

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
    """Write `out/report.html` from `out/manifest.jsonl` and return its path; an older page is replaced at the end.

    Raises:
        InvalidRequestError: there is no manifest that can be read, or the page cannot be written there.
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
    # A name of its own: two reports at a time do not write into each other.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        part.chmod(0o644)  # mkstemp's file is for its owner alone
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
