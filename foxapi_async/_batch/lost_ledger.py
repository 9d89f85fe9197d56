"""The files beside the ledger in a batch's folder. They show that a ledger was lost. A new one is made from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import attrs

from foxapi_async._batch.manifest import proven_ends, whole_lines
from foxapi_async._errors import LedgerError
from foxapi_async._hints import Hint
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._ledger.submitted_log import SubmittedLog, known_part, mark_of

UNPROVEN = "unproven"
"""A ledger has this mark if it was rebuilt while a log was missing. Then an item that is not in it may have been sent."""

NOTHING_SENT = "Nothing was sent: a new ledger would bill everything again"


@attrs.frozen
class Marks:
    """For each file: how much of it, from its beginning, is in the ledger.

    Attributes:
        submitted: the mark of the log of ids.
        manifest: the mark of the manifest.
        is_whole: whether the manifest has, up to its mark, a line for each item that has ended.
    """

    submitted: str = ""
    manifest: str = ""
    is_whole: bool = False


@attrs.frozen
class Evidence:
    """A ledger's path, and the files beside it."""

    ledger: Path
    log: SubmittedLog
    manifest: Path

    @property
    def exist(self) -> bool:
        """Whether any file beside the ledger exists."""
        return any(path.exists() for path in (self.log.submitted, self.log.submitting, self.manifest))

    def refuse_if_begun(self) -> None:
        """Refuse to make a ledger if the files name items, because then the folder had a ledger."""
        for file in (self.log.accepted_ids, self.log.moves, lambda: proven_ends(whole_lines(self.manifest))):
            proofs: Iterable[object] = file()
            if next(iter(proofs), None) is not None:
                text = f"the ledger {self.ledger} is missing, but its batch has begun"
                raise LedgerError(f"{text}. {NOTHING_SENT}", hint=Hint.REBUILD_LEDGER)

    async def compare(self, ledger: SqliteLedger, marks: Marks) -> None:
        """Refuse a ledger that lacks items of the files. Add ids that a killed run logged, but did not commit."""
        log = self.log
        start = known_part(log.submitted, marks.submitted) or 0
        # Without the log, the whole manifest is the only evidence.
        start_of_manifest = (known_part(self.manifest, marks.manifest) or 0) if start else 0
        found = await ledger.compare(
            lambda: log.accepted_ids(start),
            lambda: proven_ends(whole_lines(self.manifest, start_of_manifest)),
            log.moves,
        )
        if found.lost:
            keys = ", ".join(found.keys) + (" …" if found.lost > len(found.keys) else "")
            raise LedgerError(
                f"the ledger {self.ledger} has lost {found.lost:,} items that were sent ({keys}): "
                f"it is an older copy, or belongs to another batch. {NOTHING_SENT}",
                hint=Hint.REBUILD_LEDGER,
            )
        for late in found.late:
            await ledger.submitted(late.key, late.task_id or "", late.price)

    async def rebuild(self, ledger: SqliteLedger) -> None:
        """Write the facts that the files prove into the ledger."""
        meta = {} if self.log.is_complete else {UNPROVEN: "yes"}
        await ledger.rebuild(
            self.log.accepted_ids, lambda: proven_ends(whole_lines(self.manifest)), self.log.moves, **meta
        )

    def marks(self, *, is_whole: bool) -> str:
        """The present marks of the files."""
        marks = Marks(mark_of(self.log.submitted), mark_of(self.manifest), is_whole)
        return json.dumps(attrs.asdict(marks))
