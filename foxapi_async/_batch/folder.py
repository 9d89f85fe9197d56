"""Opens the folder of a batch: its ledger, manifest and logs. Refuses a folder if a run there could bill twice."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from foxapi_async._batch.lost_ledger import UNPROVEN, Evidence, Marks
from foxapi_async._batch.manifest import Manifest, proven_ends, whole_lines
from foxapi_async._batch.record import WorkItem, closing_record
from foxapi_async._errors import InvalidRequestError, LedgerError, UncertainSubmitError
from foxapi_async._files.disk import remove_parts
from foxapi_async._hints import Hint
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._ledger.submitted_log import SUBMITTED, SUBMITTING, SubmittedLog, known_part, mark_of
from foxapi_async._listener import about, log
from foxapi_async._threads import in_thread, to_its_end
from foxapi_async._wire.texts import counted

LEDGER = "ledger.sqlite"
MANIFEST = "manifest.jsonl"
RESERVE = "ledger.reserve"
IMAGES = "images"
OWN_FILES = (LEDGER, f"{LEDGER}.lock", RESERVE, MANIFEST, SUBMITTED, SUBMITTING)
"""The files that show the next run what is paid for, and their helper files."""

# Names of texts in the ledger.
_EMULATED = "emulated"  # the emulator made the images of this folder
_ORIGIN = "base_url"  # the service that knows the ids
_PAGE = "page"  # people use this folder on the page of `foxapi serve`
_CLUSTER = "cluster"  # the batch in a database whose workers send the items of this folder
_MARKS = "marks"  # how much of the files was read, and whether the manifest has all lines up to there


@attrs.frozen(kw_only=True)
class Terms:
    """How a folder is opened.

    Attributes:
        base_url: the address of the service; None if this run sends nothing.
        other_origin: continue although the folder was begun at another service.
        rebuild: make the ledger again from the other files.
        emulated: whether the session uses the emulator of the command line; None to skip this check.
        page: whether people use the folder on the page of `foxapi serve`.
        room: the most items in flight.
        is_followed: whether workers send the items, and the folder only gets their records.
    """

    base_url: str | None
    room: int
    other_origin: bool = False
    rebuild: bool = False
    emulated: bool | None = None
    page: bool = False
    is_followed: bool = False


@attrs.frozen(kw_only=True)
class BatchFolder:
    """An open folder. `opened` opens it.

    Attributes:
        out: its path.
        ledger: the record of submits.
        manifest: the record of ends.
        is_unproven: whether an item that is not in the ledger may have been sent.
    """

    out: Path
    ledger: SqliteLedger
    manifest: Manifest
    is_unproven: bool

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, out: Path, terms: Terms) -> AsyncGenerator[BatchFolder]:
        """The folder `out`, for this run only.

        Raises:
            InvalidRequestError: it was begun with the emulator and this is the service, or the other way round; or
                it needs images of an emulator that has ended.
            LedgerError: its ledger was lost, is in use, or cannot be used; or it was begun at another service; or
                its items are in a database now; or one of its files is a link; or the disk is full.
        """
        files = Evidence(out / LEDGER, SubmittedLog(out), out / MANIFEST)
        await in_thread(_refuse_links, out)
        log, has_files = files.log, files.exist
        before_making = files.refuse_if_begun if has_files and not terms.rebuild else None
        async with SqliteLedger.opened(files.ledger, room=terms.room, before_making=before_making) as ledger:
            moved = await _check_place(out, ledger, terms)
            if not terms.is_followed:  # else a worker may be writing them
                await in_thread(remove_parts, out / IMAGES)
            counts = (await ledger.totals()).counts
            is_new = not has_files and not any(counts.values())
            await _check_service(out, ledger, counts, terms)
            marks = Marks(**json.loads(await ledger.meta(_MARKS) or "{}"))
            is_whole = is_new or (marks.is_whole and mark_of(files.manifest) == marks.manifest)
            if terms.rebuild:
                await files.rebuild(ledger)
            elif moved is not None:
                if not is_whole:
                    await _note_ends(ledger, functools.partial(whole_lines, files.manifest))
            elif has_files:
                await files.compare(ledger, marks)
            await _note_terms(ledger, terms)
            if not terms.is_followed:
                agrees = not marks.submitted or known_part(log.submitted, marks.submitted) is not None
                await ledger.keep_log(log, agrees=agrees)
            async with Manifest.opened(files.manifest, ledger, is_whole=is_whole) as manifest:
                await ledger.set_meta(_MARKS, functools.partial(files.marks, is_whole=False))
                is_unproven = await ledger.meta(UNPROVEN) == "yes"
                try:
                    yield cls(out=out, ledger=ledger, manifest=manifest, is_unproven=is_unproven)
                finally:
                    if ledger.ends == manifest.appended:
                        ledger.set_meta(_MARKS, functools.partial(files.marks, is_whole=True))

    @staticmethod
    @contextlib.asynccontextmanager
    async def peek(out: Path) -> AsyncGenerator[LedgerView | None]:
        """The ledger of the folder `out` as it is now, only for reading; None if nothing was sent from this folder.

        Raises:
            LedgerError: its ledger was lost, or cannot be read.
        """
        files = Evidence(out / LEDGER, SubmittedLog(out), out / MANIFEST)
        if files.ledger.exists():
            async with SqliteLedger.peek(files.ledger) as ledger:
                yield ledger
        else:
            if files.exist:
                await in_thread(files.refuse_if_begun)
            yield None

    async def note_moved(self, batch: str) -> None:
        """Note that the items are in a database now, as the batch of this name. Only its workers send them from now on.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        await self.ledger.set_meta(_CLUSTER, batch)
        # If the ledger is lost later, an item that is not in the manifest may have been sent by a worker. Because this
        # log is missing, such an item becomes uncertain.
        await in_thread((self.out / SUBMITTING).unlink, missing_ok=True)

    async def keep_ends(self, records: Sequence[str], former: Iterable[str]) -> None:
        """Add ends that workers have recorded to the manifest, and then to the ledger. A cancellation does not stop
        this, because a line that the ledger does not know would be added again.

        Args:
            records: the new lines of the manifest.
            former: the last lines that the same items had before, if any.

        Raises:
            LedgerError: the manifest or the ledger cannot be written.
        """
        await to_its_end(asyncio.create_task(self._keep_ends(records, former)))

    async def _keep_ends(self, records: Sequence[str], former: Iterable[str]) -> None:
        await self.manifest.append(*records)
        lines = [line.encode() for line in (*former, *records)]
        await _note_ends(self.ledger, lambda: lines)
        self.ledger.ends += len(records)

    async def mark_unproven(self, items: Sequence[WorkItem]) -> dict[str, LedgerEntry]:
        """Record items that are not in the ledger as uncertain. Returns their new entries.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        records = {item.key: _unproven_record(item, self.out) for item in items if item.key is not None}
        ledger, known = self.ledger, [item for item in items if item.key is not None]
        await asyncio.gather(
            *(ledger.submitting(str(item.key), item.fingerprint, secrets.token_hex(16)) for item in known)
        )
        await asyncio.gather(
            *(ledger.ended(str(key), ItemState.UNCERTAIN, record) for key, record in records.items())
        )
        await self.manifest.append(*records.values())
        return await ledger.look_up(str(key) for key in records)

    async def note_all_proven(self) -> None:
        """Note that every item of the input was processed. From now on an item that is not in the ledger is new.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        await self.ledger.set_meta(UNPROVEN, "no")


def _unproven_record(item: WorkItem, out: Path) -> str:
    error = UncertainSubmitError(
        f"the ledger was made again without {SUBMITTED}: item {item.key} may have been accepted and billed before",
        idempotency_key="",
    )
    return closing_record(
        item,
        ItemState.UNCERTAIN,
        request=None if item.request is None else item.request.identity(),
        task_id=None,
        folder=out,
        timings={},
        error=error,
    )


# What belongs to a folder: its files, and its service.


def _refuse_links(out: Path) -> None:
    """Refuse a link in place of a file or folder of ours. If we wrote to a link, another file would change, and two
    runs with one ledger could lock two different files.
    """
    names = (*OWN_FILES, f".{SUBMITTED}.part", IMAGES)
    for path in (*map(out.joinpath, names), *out.glob(f"{IMAGES}/[0-9][0-9][0-9][0-9]*")):
        if path.is_symlink():
            raise LedgerError(
                f"{path} is a link: writing to it would change another file. Nothing was sent. Remove the link (only "
                "the output folder itself may be a link)"
            )


async def is_page(ledger: LedgerView) -> bool:
    """Whether people use the folder of this ledger on the page of `foxapi serve`.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return await ledger.meta(_PAGE) is not None


async def _check_place(out: Path, ledger: SqliteLedger, terms: Terms) -> str | None:
    """The batch in a database that has the items of this folder; None if the items are in the folder.

    Raises:
        LedgerError: they are in a database, and this run would send them, too.
    """
    moved = await moved_to(ledger)
    if moved is not None and not terms.is_followed:
        raise LedgerError(
            f"the batch in {out} is in a database now, as batch {moved!r}, and only workers send its items. "
            "Nothing was sent",
            hint=Hint.USE_DATABASE,
        )
    return moved


async def _note_terms(ledger: SqliteLedger, terms: Terms) -> None:
    if terms.emulated:
        await ledger.set_meta(_EMULATED, "yes")
    if terms.page:
        await ledger.set_meta(_PAGE, "yes")
    if terms.base_url is not None:
        await ledger.set_meta(_ORIGIN, origin_of(terms.base_url))


async def begun_at(ledger: LedgerView) -> str | None:
    """The service at which the folder of this ledger was begun; None if that is not known.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return await ledger.meta(_ORIGIN)


async def _note_ends(ledger: SqliteLedger, lines: Callable[[], Iterable[bytes]]) -> None:
    """Write the ends in lines of the manifest into the ledger."""
    await ledger.rebuild(lambda: (), lambda: proven_ends(lines()), lambda: ())


async def moved_to(ledger: LedgerView) -> str | None:
    """The batch in a database that has the items of this ledger's folder; None if they are in the folder.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    return await ledger.meta(_CLUSTER)


async def _check_service(
    out: Path, ledger: SqliteLedger, counts: Mapping[ItemState, int], terms: Terms
) -> None:
    """Refuse a folder that was begun at another service. The emulator and the service are different services, too."""
    items = sum(counts.values())
    began_emulated = await ledger.meta(_EMULATED) is not None
    # A ledger without items does not belong to the service yet: an emulator run that was killed early may continue.
    is_refused = (
        began_emulated if terms.emulated is False else bool(terms.emulated and items and not began_emulated)
    )
    if is_refused:
        maker = "the emulator" if began_emulated else "the service, not of the emulator"
        raise InvalidRequestError(f"{out} has a batch of {maker}", hint=Hint.OTHER_FOLDER)
    if terms.emulated and terms.rebuild:
        raise InvalidRequestError(
            f"{out}: the ledger of the emulator's batch cannot be made again", hint=Hint.OTHER_FOLDER
        )
    if terms.emulated:
        _report_lost_tasks(out, counts, terms)
    if terms.base_url is None:
        return
    known = await ledger.meta(_ORIGIN)
    # If all items are NEW, every submit was refused, so the user may correct a wrong address.
    is_other = known is not None and known != origin_of(terms.base_url) and items > counts[ItemState.NEW]
    if is_other and not terms.emulated and not terms.other_origin:
        raise LedgerError(
            f"the batch in {out} was begun at {known}, and the base URL is now {terms.base_url}: only the first "
            "service knows the ids of its tasks. Nothing was sent",
            hint=Hint.OTHER_ORIGIN,
        )


def _report_lost_tasks(out: Path, counts: Mapping[ItemState, int], terms: Terms) -> None:
    """Report the tasks that were lost when the emulator of an earlier command ended. A batch submits them again.

    Raises:
        InvalidRequestError: some of their images were not saved, and are lost.
    """
    if counts[ItemState.UNSAVED] and not terms.page:
        images = counted(counts[ItemState.UNSAVED], "item")
        raise InvalidRequestError(
            f"{out} has {images} that an earlier run made and could not save: its emulator has ended, and the images "
            "are lost. Nothing was billed",
            hint=Hint.OTHER_FOLDER,
        )
    if counts[ItemState.SUBMITTED]:
        log.warning(
            "%s of an earlier run ended with its emulator, and nothing was billed%s",
            counted(counts[ItemState.SUBMITTED], "task"),
            "" if terms.page else ": they are sent again to the emulator of this run",
            extra=about("emulator_ended"),
        )


def origin_of(base_url: str) -> str:
    """Scheme, host and port of an address. An address with another path is the same service."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}".lower()
