"""Uploads local files for requests. A session stores a file once in 48 hours, even if many requests name it."""

from __future__ import annotations

import asyncio
import os
import weakref
from pathlib import Path

from foxapi_async._client.api import Api
from foxapi_async._errors import InvalidRequestError
from foxapi_async._files.upload_source import Source, input_problem
from foxapi_async._threads import in_thread
from foxapi_async.models import FieldSpec, GenerationRequest

# The service keeps uploads for 72 hours (file-management/upload-stream). A file is stored again earlier than that.
FRESH_SECONDS = 48 * 3600.0

Identity = tuple[str, int, int]


class Uploads:
    """The files that this session has stored.

    Args:
        api: stores them.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stored: dict[Identity, tuple[str, float]] = {}
        self._turns: weakref.WeakValueDictionary[Identity, asyncio.Lock] = weakref.WeakValueDictionary()

    async def replace_in(self, request: GenerationRequest, call: int) -> GenerationRequest:
        """The request with URLs in place of its local files. `call` is the number of its submit.

        Raises:
            InvalidRequestError: a file cannot be read, or its field does not allow it; nothing was stored.
            FoxError: a file could not be stored; nothing is billed.
        """
        found = {
            file: await in_thread(_identify, file, request.field(name))
            for name, file in request.local_files_by_field()
        }
        urls = {file: await self._url_of(file, identity, call) for file, identity in found.items()}
        return request.with_files(urls)

    async def _url_of(self, file: os.PathLike[str], identity: Identity, call: int) -> str:
        now = asyncio.get_running_loop().time()
        # Requests that name one file at the same time wait for the one that stores it.
        async with self._turns.setdefault(identity, asyncio.Lock()):
            url, stored_at = self._stored.get(identity, ("", now - FRESH_SECONDS))
            if now - stored_at < FRESH_SECONDS:
                return url
            url = (await self._api.upload(Source(file), None, call)).url
            self._remember(identity, url, now)
            return url

    def _remember(self, identity: Identity, url: str, now: float) -> None:
        """Keep the stored file as the newest, and drop files that are too old."""
        self._stored.pop(identity, None)
        self._stored[identity] = (url, now)
        while now - self._stored[oldest := next(iter(self._stored))][1] >= FRESH_SECONDS:
            del self._stored[oldest]


def _identify(file: os.PathLike[str], field: FieldSpec | None) -> Identity:
    """The path, time and size of a file. If the content changes, they change, too."""
    problem = input_problem(file, field)
    try:
        if problem is None:
            path = Path(file).resolve(strict=True)
            facts = path.stat()
            return (str(path), facts.st_mtime_ns, facts.st_size)
    except OSError as error:  # the file was removed after it was checked
        problem = error.strerror or str(error)
    raise InvalidRequestError(f"cannot use the input file {os.fspath(file)}: {problem}")
