"""The local input files of a batch: their contents are in the database, so that every worker can upload them.

An upload at the service lives for 72 hours, so a file is uploaded when its item is submitted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from foxapi_async._client.api import MAX_UPLOAD_BYTES
from foxapi_async._errors import InvalidRequestError, LedgerError
from foxapi_async._files.upload_source import input_problem
from foxapi_async._threads import in_thread
from foxapi_async.models import FieldSpec, GenerationRequest, parse_request
from foxapi_async.models._file_fields import map_files

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_FOLDER = ".inputs"


Inputs: TypeAlias = list[tuple[FieldSpec | None, os.PathLike[str]]]
"""Local files of a request, each with what is known about its field."""

Stored: TypeAlias = dict[tuple[str, FieldSpec | None], str]
"""The SHA-256 of files that were stored already, by path and field."""


def inputs_of(request: GenerationRequest) -> Inputs:
    """The local files of a request."""
    return [(request.field(name), file) for name, file in request.local_files_by_field()]


async def store_files(connection: Connection, inputs: Inputs, known: Stored) -> dict[str, str]:
    """Store the contents of local files. Returns their SHA-256, by path.

    Args:
        connection: the connection to the database.
        inputs: the files.
        known: files that were stored already; new ones are added.

    Raises:
        InvalidRequestError: a file cannot be read, its field does not take it, or it is larger than an upload may be.
    """
    found: dict[str, str] = {}
    for field, file in inputs:
        path = os.fspath(file)
        if (path, field) not in known:
            content = await in_thread(_content, Path(path), field)
            digest = hashlib.sha256(content)
            await connection.execute(
                "INSERT INTO input_file VALUES (%s, %s) ON CONFLICT DO NOTHING", (digest.digest(), content)
            )
            known[path, field] = digest.hexdigest()
        found[path] = known[path, field]
    return found


def _content(path: Path, field: FieldSpec | None) -> bytes:
    problem = input_problem(path, field)
    try:
        if problem is None:
            size = path.stat().st_size
            if size <= MAX_UPLOAD_BYTES:
                return path.read_bytes()
            problem = f"it has {size:,} bytes, and an upload has at most {MAX_UPLOAD_BYTES:,}"
    except OSError as error:  # it was removed meanwhile
        problem = error.strerror or str(error)
    raise InvalidRequestError(f"cannot use the input file {path}: {problem}")


async def request_with_files(
    connection: Connection, fields: Mapping[str, Any], files: Mapping[str, str], out: Path
) -> GenerationRequest:
    """The request with these fields. Its local files are fetched from the database into a folder below `out`.

    Raises:
        InvalidRequestError: the fields are not a request.
        LedgerError: a file is not in the database, or cannot be written.
    """
    places = {path: await _fetched(connection, path, digest, out) for path, digest in files.items()}

    def place_of(file: Any) -> Any:
        return places.get(file, file)

    return parse_request(map_files(fields, place_of))


async def _fetched(connection: Connection, path: str, digest: str, out: Path) -> Path:
    place = out / _FOLDER / digest / (Path(path).name or "file")
    if place.exists():
        return place
    cursor = await connection.execute(
        "SELECT content FROM input_file WHERE sha256 = %s", (bytes.fromhex(digest),)
    )
    row = await cursor.fetchone()
    if row is None:
        raise LedgerError(f"the content of {path} is not in the database")
    await in_thread(_write, place, bytes(row[0]))
    return place


def _write(place: Path, content: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(place)
    except OSError as error:
        problem = f"cannot write {place}: {error.strerror or error}"
    else:
        return
    raise LedgerError(problem)
