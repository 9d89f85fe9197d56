"""An emulator of the FoxAPI service on this machine: real HTTP, real pictures, no bill.

It is made from the service's documentation, and shares no code with the client. So the same mistake on both sides
is unlikely. It counts the submits that the service would bill, and plays a script of faults if you give one.

    async with Emulator(seconds=0.2, faults=[Fault.status("submit", 429, retry_after=1)]) as emulator:
        print(emulator.url, emulator.key)
"""

from ._display import show_under
from ._emulator import Emulator
from ._faults import Fault
from ._service import RequestRecord
from ._sizes import pixel_size
from ._tasks import TaskView
from ._threaded import ThreadedEmulator

__all__ = ["Emulator", "Fault", "RequestRecord", "TaskView", "ThreadedEmulator", "pixel_size"]

show_under(__name__, (Emulator, Fault, RequestRecord, TaskView, ThreadedEmulator, pixel_size))
