"""Validates a batch's input and counts the images that it would make, without sending anything."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import attrs

from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._files.disk import in_thread
from foxapi_async._files.source import facts_of
from foxapi_async.models import GenerationRequest
from foxapi_async.models._values import shown

_KEPT_WRONG = 1000
# The number of checked local files that are remembered: often every line has the same reference image.
_REMEMBERED_FILES = 4096


@attrs.frozen
class Tally:
    """How many requests there are, and how many images they would make."""

    requests: int = 0
    images: int = 0


@attrs.frozen(kw_only=True)
class Check:
    """The content of an input.

    Attributes:
        good: how many items can be submitted.
        wrong: how many cannot.
        problems: the first 1,000 wrong lines.
        models: the requests and images of each model.
        checksum: the checksum of the file; None if it was not read to its end.
    """

    good: int
    wrong: int
    problems: tuple[InputRow, ...]
    models: Mapping[str, Tally]
    checksum: str | None

    @property
    def images(self) -> int:
        """How many images would be made."""
        return sum(tally.images for tally in self.models.values())


async def check(
    file: InputFile, compared: Callable[[list[InputRow]], Awaitable[list[InputRow]]] | None = None
) -> Check:
    """Read the whole input, check its local files, and send nothing.

    Args:
        file: the input.
        compared: returns the lines of a chunk, with problems if they conflict with known items.

    Raises:
        InvalidRequestError: the input cannot be read.
    """
    count = _Count()
    async with contextlib.aclosing(file.chunks()) as chunks:
        async for chunk in chunks:
            await in_thread(count.add, chunk if compared is None else await compared(chunk))
    return count.summary(file.checksum)


class _Count:
    def __init__(self) -> None:
        self._wrong = 0
        self._problems: list[InputRow] = []
        self._requests: Counter[str] = Counter()
        self._images: Counter[str] = Counter()
        self._find_problem = functools.lru_cache(_REMEMBERED_FILES)(_file_problem)

    def add(self, chunk: list[InputRow]) -> None:
        """Count the items of a chunk."""
        for line in chunk:
            request = line.request
            problems = line.problems if request is None else self._file_problems(request)
            if request is None or problems:
                self._wrong += 1
                if self._wrong <= _KEPT_WRONG:
                    self._problems.append(attrs.evolve(line, request=None, problems=problems))
            else:
                self._requests[request.model] += 1
                self._images[request.model] += request.expected

    def _file_problems(self, request: GenerationRequest) -> tuple[str, ...]:
        faults = ((name, self._find_problem(name)) for name in map(os.fspath, request.local_files()))
        return tuple(f"the input file {shown(name)}: {fault}" for name, fault in faults if fault)

    def summary(self, checksum: str | None) -> Check:
        """The result of the count."""
        return Check(
            good=self._requests.total(),
            wrong=self._wrong,
            problems=tuple(self._problems),
            models={model: Tally(n, self._images[model]) for model, n in self._requests.items()},
            checksum=checksum,
        )


def _file_problem(path: str) -> str | None:
    """Why a local file cannot be uploaded; None if it can."""
    try:
        facts_of(path)
        with Path(path).open("rb") as file:
            return None if file.read(1) else "the file is empty"
    except (OSError, ValueError) as error:  # a null byte is a ValueError
        return getattr(error, "strerror", None) or str(error)
