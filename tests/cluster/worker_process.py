"""One worker of a cluster in a process of its own: `python worker_process.py DSN OUT LEASE CONCURRENCY RATE`.

It leaves on SIGTERM. The service and the key come from the environment.
"""

import asyncio
import signal
import sys
from pathlib import Path

from foxapi_async import FoxError, FoxSession
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.worker import Worker, WorkerOptions


async def work(dsn, out, lease, concurrency, rate):
    """Work until SIGTERM, or until the worker stops by itself."""
    options = WorkerOptions(
        out=Path(out), lease=float(lease), concurrency=int(concurrency), rate=float(rate) or None
    )
    async with FoxSession() as fox:
        worker = Worker(Database.at(dsn), fox, options)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


if __name__ == "__main__":
    try:
        asyncio.run(work(*sys.argv[1:]))
    except FoxError as fault:
        sys.exit(str(fault))
