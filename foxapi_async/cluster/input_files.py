"""The local input files of a batch: their contents are in the database, so that every worker can upload them.

An upload at the service lives for 72 hours, so a file is uploaded when its item is submitted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foxapi_async._client.api import MAX_UPLOAD_BYTES
from foxapi_async._errors import InvalidRequestError, LedgerError
from foxapi_async._files.disk import in_thread
from foxapi_async.models import GenerationRequest, parse_request
from foxapi_async.models._input_files import map_files

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_FOLDER = ".inputs"


async def store_files(
    connection: Connection, files: Iterable[os.PathLike[str]], known: dict[str, str]
) -> dict[str, str]:
    """Store the contents of these files. Returns their SHA-256, by path.

    Args:
        connection: to the database.
        files: the files.
        known: the SHA-256 of files that were stored already, by path; new ones are added.

    Raises:
        InvalidRequestError: a file cannot be read, or is larger than an upload may be.
    """
    found: dict[str, str] = {}
    for file in files:
        path = os.fspath(file)
        if path not in known:
            content = await in_thread(_content, Path(path))
            digest = hashlib.sha256(content)
            await connection.execute(
                "INSERT INTO input_file VALUES (%s, %s) ON CONFLICT DO NOTHING", (digest.digest(), content)
            )
            known[path] = digest.hexdigest()
        found[path] = known[path]
    return found


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_UPLOAD_BYTES else None
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror or error}"
    else:
        if content is not None:
            return content
        problem = f"{path} has {size:,} bytes, and an upload has at most {MAX_UPLOAD_BYTES:,}"
    raise InvalidRequestError(problem)


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
