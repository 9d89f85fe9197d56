"""Keeps a trial with the emulator and work that is paid for in folders of their own."""

from __future__ import annotations

from pathlib import Path

from foxapi_async._batch.batch import LEDGER
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.sqlite import Ledger

# In the ledger of a folder whose images the emulator has made.
_EMULATED = "emulated"


async def keep_apart(out: Path, *, emulated: bool) -> None:
    """Refuse to go on in a folder with the service where the emulator began, or the other way round.

    Else a trial would leave everything done, with painted images.

    Raises:
        InvalidRequestError: that would be so.
        LedgerError: the ledger cannot be used.
    """
    path = out / LEDGER
    if not path.exists():
        if emulated:
            async with Ledger.opened(path) as ledger:
                await ledger.set_meta(_EMULATED, "yes")
        return
    async with Ledger.peek(path) as view:
        began_so = await view.meta(_EMULATED) is not None
    if began_so != emulated:
        maker = "the emulator" if began_so else "the service, not of the emulator"
        raise InvalidRequestError(f"--out {out}: it has a batch of {maker}; choose another --out")
