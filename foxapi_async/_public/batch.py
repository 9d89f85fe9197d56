"""The public names of batches."""
# ruff: noqa: PLC0414 - type checkers take `as` for "this name is public"

from foxapi_async._batch.batch import Batch as Batch
from foxapi_async._batch.record import BatchOutcome as BatchOutcome
