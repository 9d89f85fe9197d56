"""What a batch's ledger remembers of its input file, so that it is neither validated nor gone through twice."""

from __future__ import annotations

from foxapi_async._entries import State
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger import Ledger
from foxapi_async._lines_file import LinesFile, check

_VALIDATED = "validated"
_FINISHED = "finished"


async def validated(file: LinesFile, ledger: Ledger) -> int:
    """How many items the file has. It is read to its end first, unless the ledger knows that it was found good.

    Raises:
        InvalidRequestError: lines are wrong, each with its number in `.problems`; or it cannot be read.
    """
    await file.sum_up()
    digest, _, count = (await ledger.meta(_VALIDATED) or "").partition(" ")
    if digest == file.validation:
        return int(count)
    found = await check(file)
    if found.wrong:
        problems = tuple(f"line {line.number}: {text}" for line in found.problems for text in line.problems)
        raise InvalidRequestError(
            f"{file.name}: {found.wrong} of {found.wrong + found.good} items are wrong, nothing was sent: {problems[0]}",
            problems=problems,
        )
    await ledger.set_meta(_VALIDATED, f"{file.validation} {found.good}")
    return found.good


async def is_finished(file: LinesFile, ledger: Ledger, *open_states: State) -> bool:
    """Whether an earlier run went through this very file, and no item is left in one of these states."""
    counts = await ledger.counts()
    left = sum(counts[state] for state in (State.NEW, State.SUBMITTING, State.SUBMITTED, *open_states))
    return left == 0 and file.validation is not None and await ledger.meta(_FINISHED) == file.validation


async def note_finished(file: LinesFile, ledger: Ledger) -> None:
    """The file was gone through to its end."""
    if file.validation is not None:
        await ledger.set_meta(_FINISHED, file.validation)
