"""`foxapi report`: the results of a batch as one HTML page."""

from foxapi_async._display import show_under
from foxapi_async.report._write import write_report

__all__ = ["write_report"]

show_under(__name__, [write_report])
