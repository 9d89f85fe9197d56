"""Checks a batch's input and counts the images that it would make, without sending anything."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import attrs

from foxapi_async._batch.budget import Kind, result_of
from foxapi_async._batch.input.file import InputFile, warn_of_comments
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._files.upload_source import input_problem
from foxapi_async._listener import about, log
from foxapi_async._policy.prices import Priced, priced_as
from foxapi_async._threads import in_thread
from foxapi_async._wire.texts import counted
from foxapi_async.models import GenerationRequest
from foxapi_async.models._doubts import NewDoubts
from foxapi_async.models._values import shown

_KEPT_WRONG = 1000
# How many checked local files are remembered, because often every line has the same reference image.
_REMEMBERED_FILES = 4096


@attrs.frozen
class Tally:
    """How many requests there are, and how many images they would make."""

    requests: int = 0
    images: int = 0


@attrs.define
class Count:
    """Counts the requests and images of each model.

    Attributes:
        models: the requests of each model.
        kinds: how many images there are of each kind; all images of a kind have the same price. None if they are not
            counted: counting them would take a tenth of the time of a check.
    """

    models: dict[str, Tally] = attrs.field(factory=dict[str, Tally], init=False)
    kinds: Counter[Priced] | None = None

    @classmethod
    def of(cls, kinds: Mapping[Kind, int], *, by_kind: bool = False) -> Self:
        """The count for these numbers of requests, by kind."""
        count = cls(Counter() if by_kind else None)
        for kind, number in kinds.items():
            count.add(kind.model, kind.images, number)
            if count.kinds is not None:
                count.kinds[result_of(kind)] += kind.images * number
        return count

    def add_request(self, request: GenerationRequest) -> None:
        """Count a request."""
        self.add(request.model, request.expected)
        if self.kinds is not None:
            self.kinds[priced_as(request)] += request.expected

    def add(self, model: str, images: int, number: int = 1) -> None:
        """Count `number` requests of a model, each for this number of images."""
        known = self.models.get(model, Tally())
        self.models[model] = Tally(known.requests + number, known.images + number * images)

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return sum(tally.requests for tally in self.models.values())

    @property
    def images(self) -> int:
        """How many images they would make."""
        return sum(tally.images for tally in self.models.values())


@attrs.frozen(kw_only=True)
class Check:
    """What a check has found in an input.

    Attributes:
        count: the items that can be submitted.
        wrong: how many items cannot be submitted.
        problems: the first 1,000 wrong lines.
        broken: the fault that ended the reading, which is not a fault of one item; None if the file was read to its
            end.
        checksum: the checksum of the file; None if it was not read to its end.
    """

    count: Count
    wrong: int
    problems: tuple[InputRow, ...]
    broken: InputRow | None
    checksum: str | None

    @property
    def good(self) -> int:
        """How many items can be submitted."""
        return self.count.requests

    @property
    def items(self) -> int:
        """How many items were read."""
        return self.good + self.wrong

    @property
    def is_right(self) -> bool:
        """Whether all items can be submitted."""
        return self.broken is None and not self.wrong

    @property
    def fault(self) -> str:
        """What is wrong with the input as a whole. Only for an input that is not right."""
        if self.broken is None:
            return f"{self.wrong} of {self.items} items are wrong"
        if not self.items:
            return f"the {self.broken.part} is wrong, no item was read"
        wrong = f", {self.wrong} of them wrong" if self.wrong else ""
        return f"the {self.broken.part} is wrong, only {counted(self.items, 'item')} could be read{wrong}"


async def check(
    file: InputFile,
    compared: Callable[[list[InputRow]], Awaitable[list[InputRow]]] | None = None,
    *,
    by_kind: bool = False,
) -> Check:
    """Read the whole input, check its local files, and send nothing.

    Args:
        file: the input.
        compared: compares the lines of a chunk with the known items, and returns them. A line that conflicts with an
            item has this as a problem.
        by_kind: whether to count the images by their price, too.

    Raises:
        InvalidRequestError: the input cannot be read.
    """
    found = _Checked(Count(Counter() if by_kind else None))
    async with contextlib.aclosing(file.chunks()) as chunks:
        async for chunk in chunks:
            await in_thread(found.add, chunk if compared is None else await compared(chunk))
    return found.summary(file)


class _Checked:
    def __init__(self, count: Count) -> None:
        self._wrong = 0
        self._problems: list[InputRow] = []
        self._broken: InputRow | None = None
        self._outside = 0
        self._first_outside: InputRow | None = None
        self._comments = 0
        self._first_comment: InputRow | None = None
        self._new_doubts = NewDoubts()
        self._doubts: list[tuple[int, str, str]] = []
        self.count = count
        self._find_problem = functools.lru_cache(_REMEMBERED_FILES)(input_problem)

    def add(self, chunk: list[InputRow]) -> None:
        """Count the items of a chunk."""
        for line in chunk:
            if line.part is not None:
                self._broken = line
                continue
            if line.outside is not None:
                self._outside += 1
                self._first_outside = self._first_outside or line
            if line.may_be_comment:
                self._comments += 1
                self._first_comment = self._first_comment or line
            request = line.request
            problems = line.problems if request is None else self._file_problems(request)
            if request is None or problems:
                self._wrong += 1
                if self._wrong <= _KEPT_WRONG:
                    self._problems.append(attrs.evolve(line, request=None, problems=problems))
            else:
                self.count.add_request(request)
                doubts = self._new_doubts.of(request)
                self._doubts += [(line.number, request.model, doubt) for doubt in doubts]

    def _file_problems(self, request: GenerationRequest) -> tuple[str, ...]:
        found = ((os.fspath(file), request.field(name)) for name, file in request.local_files_by_field())
        faults = dict.fromkeys((file, self._find_problem(file, field)) for file, field in found)
        return tuple(f"the input file {shown(file)}: {fault}" for file, fault in faults if fault)

    def summary(self, file: InputFile) -> Check:
        """The result of the check. Warnings of three things are also logged: lines that may be comments and would be
        billed; input files outside the folder, which the service would get; and fields whose value may be wrong.
        """
        if self._first_comment is not None:
            warn_of_comments(file, self._comments, self._first_comment)
        if (first := self._first_outside) is not None:
            log.warning(
                "%s: %s with input files outside the folder of the input, the first on line %d: %s",
                file.name,
                counted(self._outside, "item"),
                first.number,
                first.outside,
                extra=about("files_outside"),
            )
        for number, model, doubt in self._doubts:
            text = "%s: line %d: %s: %s; it is sent anyway"
            log.warning(text, file.name, number, model, doubt, extra=about("doubtful_field"))
        return Check(
            count=self.count,
            wrong=self._wrong,
            problems=tuple(self._problems),
            broken=self._broken,
            checksum=file.checksum,
        )
