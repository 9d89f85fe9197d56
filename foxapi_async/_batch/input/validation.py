"""Notes in the ledger that an input file was checked, or was processed to its end, so that neither is done twice."""

from __future__ import annotations

import contextlib
import functools

import attrs

from foxapi_async._batch.input.check import Check, Count, check
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.keys import Numbering, fingerprint, id_conflict
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import PAID_TASK, ItemState
from foxapi_async._ledger.protocol import Ledger, LedgerView
from foxapi_async._listener import about, log
from foxapi_async._threads import in_thread

VALIDATED = "validated"
"""The name of the ledger's note about the last valid input. `count_in` reads the number of items from the note."""

_FINISHED = "finished"


async def validated(file: InputFile, ledger: Ledger, *, by_kind: bool = False) -> tuple[int, Count | None]:
    """How many items the file has, and the count of its requests.

    The file is checked first, unless the ledger has a note that it is valid. Then the count is None. A file is read
    once: only for its checksum if it has the size in the note, otherwise for the check. If a file has that size and
    other content, it is read twice.

    Raises:
        InvalidRequestError: lines are wrong, each with its number in `.problems`; or the file cannot be read.
    """
    known = await ledger.meta(VALIDATED)
    size = await file.size()
    if known is not None and known.split()[1:-1] in (
        [],
        [str(size)],
    ):  # folders of older versions have no size
        await file.read_checksum()
        if known.startswith(f"{file.validation} "):
            warn_if_empty(file, count_in(known))
            return count_in(known), None
    with contextlib.closing(Numbering()) as numbering:
        found = await check(file, functools.partial(_compared, numbering, ledger), by_kind=by_kind)
    if not found.is_right:
        rows = [*found.problems, *([] if found.broken is None else [found.broken])]
        raise InvalidRequestError(
            f"{file.name}: {found.fault}, nothing was sent",
            problems=tuple(f"line {row.number}: {text}" for row in rows for text in row.problems),
            hint=next((row.hint for row in rows if row.hint is not None), None),
        )
    warn_if_empty(file, found.good)
    await ledger.set_meta(VALIDATED, f"{file.validation} {size} {found.good}")
    return found.good, found.count


def warn_if_empty(file: InputFile, count: int) -> None:
    """Log a warning if the file has no items, because it may be the wrong file."""
    if not count:
        log.warning("%s has no items, so there is nothing to do", file.name, extra=about("empty_input"))


async def expected_items(ledger: LedgerView) -> int | None:
    """How many items the last validated file had; None if there was none."""
    known = await ledger.meta(VALIDATED)
    return None if known is None else count_in(known)


def count_in(known: str) -> int:
    """The number of items in the note about an input."""
    return int(known.rpartition(" ")[2])


async def checked(file: InputFile, ledger: LedgerView | None, *, by_kind: bool = False) -> Check:
    """The result of `check`. If an id also names another request in the file or in the ledger, that is a problem, too.

    Raises:
        InvalidRequestError: the file cannot be read.
        LedgerError: there is no room for temporary files, or the ledger cannot be read.
    """
    with contextlib.closing(Numbering()) as numbering:
        found = await check(file, functools.partial(_compared, numbering, ledger), by_kind=by_kind)
    if found.broken is None:
        warn_if_empty(file, found.items)
    return found


async def _compared(numbering: Numbering, ledger: LedgerView | None, chunk: list[InputRow]) -> list[InputRow]:
    """The lines. A line gets a problem if its id names another request in an earlier line or in an earlier run."""
    fingerprints = {n: fingerprint(line.request) for n, line in enumerate(chunk) if line.id and line.request}
    names = [
        name
        for n, own_fingerprint in fingerprints.items()
        for name in (f"{chunk[n].id}", f"{chunk[n].id}\n{own_fingerprint}")
    ]
    numbers = await in_thread(numbering.number, names)
    known = {} if ledger is None else await ledger.look_up(chunk[n].id or "" for n in fingerprints)
    lines = list(chunk)
    for (n, own_fingerprint), uses, same in zip(
        fingerprints.items(), numbers[::2], numbers[1::2], strict=True
    ):
        line, entry = chunk[n], known.get(chunk[n].id or "")
        problem = id_conflict(
            line.id or "", used=uses > same, known=entry is not None and entry.fingerprint != own_fingerprint
        )
        if problem:
            lines[n] = attrs.evolve(line, request=None, problems=(problem,))
    return lines


async def is_finished(file: InputFile, ledger: Ledger, *open_states: ItemState) -> bool:
    """Whether an earlier run finished a file with this content, and no item is left in one of these states."""
    counts = (await ledger.totals()).counts
    unfinished = sum(
        counts[state] for state in (ItemState.NEW, ItemState.SUBMITTING, *PAID_TASK, *open_states)
    )
    return unfinished == 0 and file.validation is not None and await ledger.meta(_FINISHED) == file.validation


async def note_finished(file: InputFile, ledger: Ledger) -> None:
    """Note that the file was processed to its end."""
    await ledger.set_meta(_FINISHED, file.validation or "")
