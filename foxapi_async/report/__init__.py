"""`foxapi report`: the results of a batch as one HTML page."""

from foxapi_async.report._write import write_report

__all__ = ["write_report"]
