"""Searches the data that failing runs leave behind for the key: values, exceptions with their frames, log
records, files.
"""

from __future__ import annotations

import base64
import contextlib
import pickle
import traceback
from pathlib import Path
from urllib.parse import quote

import aiohttp
import attrs

import foxapi_async

# With characters that JSON, HTML and URLs may escape.
KEY = "sk-7h3/k3y+of=the&user0123456789"
SPELLINGS = (
    KEY,
    KEY.replace("/", "\\/"),
    KEY.replace("&", "&amp;"),
    quote(KEY, safe=""),
    *(base64.b64encode(f"{before}{KEY}".encode()).decode()[4:40] for before in ("", ":", "x:")),
)
PACKAGE = Path(foxapi_async.__file__).parent
# The frames whose local variables are searched: ours, and those of libraries that get the key.
SEARCHED = (str(PACKAGE), str(Path(aiohttp.__file__).parent))


def has_key(text):
    return any(spelling in text for spelling in SPELLINGS)


def shown(value):
    """The forms in which a person, a log or an error tracker sees a value: itself, and one level into it."""
    yield repr(value)
    if isinstance(value, dict):
        yield from map(repr, [*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        yield from map(repr, value)
    elif attrs.has(type(value)) or type(value).__module__.startswith("foxapi_async"):
        yield from (
            repr(inner) for name in fields_of(value) if (inner := getattr(value, name, None)) is not value
        )


def fields_of(value):
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return [*getattr(value, "__dict__", {}), *slots]


def family(error):
    """The exception with its causes, contexts and group members."""
    found, todo = {}, [error]
    while todo:
        one = todo.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return list(found.values())


def texts_of_error(error):
    """All texts that one exception shows: (where, text)."""
    for one in family(error):
        name = type(one).__name__
        yield name, str(one)
        yield name, repr(one.args)
        yield name, repr(getattr(one, "__notes__", ()))
        yield from ((f"{name}.__dict__", text) for text in shown(one.__dict__))
        yield f"{name} pickled", pickled(one)
        yield from ((f"{name} {where}", text) for where, text in texts_of_frames(one))


def texts_of_frames(error):
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.startswith(SEARCHED):
            for name, value in frame.f_locals.items():
                yield from ((f"{code.co_qualname}:{name}", text) for text in shown_safely(value))


def shown_safely(value):
    with contextlib.suppress(AttributeError):  # an object whose construction failed
        yield from shown(value)


def pickled(value):
    try:
        return pickle.dumps(value).decode("latin-1")
    except (TypeError, AttributeError, pickle.PicklingError):
        return ""


def texts_of_record(record):
    yield f"log {record.name}", record.getMessage()
    yield from ((f"log {record.name}", repr(value)) for value in vars(record).values())
    if record.exc_info:
        yield from texts_of_error(record.exc_info[1])


class Evidence:
    """The data that failing runs leave behind."""

    def __init__(self):
        self.errors = []
        self.values = []

    async def of(self, work):
        """Await `work` and keep its result or error."""
        try:
            self.values.append(await work)
        except BaseException as error:
            self.errors.append(error)

    def of_call(self, call, *args, **kwargs):
        try:
            self.values.append(call(*args, **kwargs))
        except Exception as error:
            self.errors.append(error)

    def texts(self):
        for error in self.errors:
            yield from texts_of_error(error)
        for value in self.values:
            yield from ((type(value).__name__, text) for text in (str(value), pickled(value), *shown(value)))

    def leaks(self, records=(), folder=None):
        """Where the key is."""
        texts = [*self.texts(), *(pair for record in records for pair in texts_of_record(record))]
        files = [path for path in folder.rglob("*") if path.is_file()] if folder else []
        texts += [(str(path), path.read_bytes().decode("latin-1")) for path in files]
        return sorted({where for where, text in texts if has_key(text) or has_key(where)})
