"""Batches in a PostgreSQL database, on which any number of workers work.

    async with Cluster.open("postgresql://user@host/name") as cluster:
        await cluster.submit([GrokImagineImage("a fox")], batch_id="foxes")
        async for end in cluster.results("foxes"):
            print(end.key, end.state)

`foxapi cluster migrate` makes the tables, and `foxapi worker` starts a worker.

Needs the extra `cluster`. Without it, these names can be imported, but `Cluster.open` raises a
`ConfigurationError` that names the extra.
"""

from foxapi_async._display import show_under
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.enqueue import Enqueued
from foxapi_async.cluster.results import ItemEnd
from foxapi_async.cluster.status import ClusterStatus, WorkerStatus

__all__ = ["Cluster", "ClusterStatus", "Enqueued", "ItemEnd", "WorkerStatus"]

show_under(__name__, [Cluster, ClusterStatus, Enqueued, ItemEnd, WorkerStatus])
