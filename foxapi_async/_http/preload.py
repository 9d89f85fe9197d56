"""Imports modules before they are needed, which is at the first reply, host name or unusual encoding.

An import opens files. If the process has no free file descriptor, an import in the middle of a reply fails,
and the id of a task that is paid for is lost.
"""

from __future__ import annotations

import codecs
import functools

from yarl import URL

from foxapi_async._wire.replies import prepare_converter

# The encodings of JSON (RFC 8259, and those that a byte order mark can name), of headers and of host names.
_ENCODINGS = (
    "ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
    "idna", "punycode",
)  # fmt: skip


@functools.cache
def import_everything() -> None:
    """Import the modules that a session needs, before it opens. A second call does nothing."""
    prepare_converter()
    for name in _ENCODINGS:
        codecs.lookup(name)
    URL("http://münchen.example/")  # the tables of the `idna` package
