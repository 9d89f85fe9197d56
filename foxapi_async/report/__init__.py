"""`foxapi report`: what a batch has made, as one page to look at."""

from foxapi_async.report._write import write_report

__all__ = ["write_report"]
