"""Batches in a PostgreSQL database, on which any number of workers work. It needs the extra `cluster`.

`Cluster.open` connects to the database; `foxapi worker` is a worker.
"""

from __future__ import annotations

from foxapi_async.cluster.cluster import Cluster, ClusterStatus, WorkerStatus
from foxapi_async.cluster.enqueue import Enqueued
from foxapi_async.cluster.results import ItemEnd

__all__ = ["Cluster", "ClusterStatus", "Enqueued", "ItemEnd", "WorkerStatus"]
