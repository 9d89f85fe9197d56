"""What a batch's ledger remembers of its input file, so that it is neither validated nor gone through twice."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import attrs

from foxapi_async._batch.input.check import Check, check
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.keys import fingerprint, id_conflict
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import Ledger, LedgerView

_VALIDATED = "validated"
_FINISHED = "finished"


async def validated(file: InputFile, ledger: Ledger) -> int:
    """How many items the file has. It is read to its end first, unless the ledger knows that it was found good.

    The file is read once here: for its checksum alone if it has the size of the file that was found good, else to
    check it. Only a file with other content and that very size is read twice.

    Raises:
        InvalidRequestError: lines are wrong, each with its number in `.problems`; or it cannot be read.
    """
    known = await ledger.meta(_VALIDATED)
    size = await file.size()
    if known is not None and known.split()[1:-1] in (
        [],
        [str(size)],
    ):  # folders of older versions have no size
        await file.sum_up()
        if known.startswith(f"{file.validation} "):
            return _count_in(known)
    found = await check(file, functools.partial(_compared, ledger))
    if found.wrong:
        problems = tuple(f"line {row.number}: {text}" for row in found.problems for text in row.problems)
        raise InvalidRequestError(
            f"{file.name}: {found.wrong} of {found.wrong + found.good} items are wrong, nothing was sent: {problems[0]}",
            problems=problems,
        )
    await ledger.set_meta(_VALIDATED, f"{file.validation} {size} {found.good}")
    return found.good


async def expected_items(ledger: LedgerView) -> int | None:
    """How many items the last file had that was found good; None if there was none."""
    known = await ledger.meta(_VALIDATED)
    return None if known is None else _count_in(known)


def _count_in(known: str) -> int:
    return int(known.rpartition(" ")[2])


async def checked(file: InputFile) -> Check:
    """What `check` finds, with ids that stand for two requests of the file: counted in a ledger that is thrown away.

    Raises:
        InvalidRequestError: it cannot be read.
        LedgerError: there is no room for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="foxapi-") as folder:
        async with Ledger.opened(Path(folder) / "check.sqlite") as ledger:
            return await check(file, functools.partial(_compared, ledger))


async def _compared(ledger: Ledger, chunk: list[InputRow]) -> list[InputRow]:
    """The lines, with a problem where an id stands for another request: in a line above, or in an earlier run."""
    marks = {n: fingerprint(line.request) for n, line in enumerate(chunk) if line.id and line.request}
    # With a line break in front, which no id has: these are not the names under which the run itself counts.
    names = [name for n, mark in marks.items() for name in (f"\n{chunk[n].id}", f"\n{chunk[n].id}\n{mark}")]
    numbers = await ledger.number(names)
    known = await ledger.look_up(chunk[n].id or "" for n in marks)
    lines = list(chunk)
    for (n, mark), uses, same in zip(marks.items(), numbers[::2], numbers[1::2], strict=True):
        line, entry = chunk[n], known.get(chunk[n].id or "")
        problem = id_conflict(
            line.id or "", used=uses > same, known=entry is not None and entry.fingerprint != mark
        )
        if problem:
            lines[n] = attrs.evolve(line, request=None, problems=(problem,))
    return lines


async def is_finished(file: InputFile, ledger: Ledger, *open_states: ItemState) -> bool:
    """Whether an earlier run went through this very file, and no item is left in one of these states."""
    counts = (await ledger.totals()).counts
    left = sum(
        counts[state] for state in (ItemState.NEW, ItemState.SUBMITTING, ItemState.SUBMITTED, *open_states)
    )
    return left == 0 and file.validation is not None and await ledger.meta(_FINISHED) == file.validation


async def note_finished(file: InputFile, ledger: Ledger) -> None:
    """The file was gone through to its end."""
    await ledger.set_meta(_FINISHED, file.validation or "")
