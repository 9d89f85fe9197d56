"""The base class of all requests."""

from __future__ import annotations

import abc
import os
from typing import TYPE_CHECKING, Any, Self

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._file_fields import is_file, is_file_list, map_files
from foxapi_async.models._values import FieldValue, ImageInput, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from foxapi_async.models._fields import FieldSpec


class GenerationRequest(abc.ABC):
    """One generation request: the base of every request class, frozen and checked when made.

    `to_dict` and `parse_request` convert requests to and from JSON lines, HTTP bodies and database rows.
    `wire` is the body that the service gets.
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def model(self) -> str:
        """The model id, as the service knows it."""

    @property
    @abc.abstractmethod
    def path(self) -> str:
        """The endpoint, such as "/v1/images/generations"."""

    @property
    @abc.abstractmethod
    def prompt(self) -> str | None:
        """The prompt; None only for a model that takes no prompt."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The request as a mapping with only the fields that were set. `parse_request` makes an equal request
        from it.

        A local file stays an `os.PathLike`: a string in a list of input files is always a URL.
        """

    @abc.abstractmethod
    def _with_fields(self, changes: dict[str, Any]) -> Self:
        """The same request with other values in these fields."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What may be wrong: one line for each field. The known facts are not sure, so the request is sent anyway."""
        return ()

    def local_files(self) -> tuple[os.PathLike[str], ...]:
        """The local files among the input files, each once, in order. They must be uploaded before the request is sent."""
        return tuple(dict.fromkeys(file for _, file in self.local_files_by_field()))

    def local_files_by_field(self) -> Iterator[tuple[str, os.PathLike[str]]]:
        """For each local file: the name of its field, and the file."""
        for name, value in self.to_dict().items():
            found: list[ImageInput] = []
            map_files({name: value}, found.append)
            yield from ((name, item) for item in found if isinstance(item, os.PathLike))

    def field(self, name: str) -> FieldSpec | None:  # noqa: ARG002 - subclasses need it
        """What is known about a field of this request; None if nothing is known."""
        return None

    def with_files(self, urls: Mapping[os.PathLike[str], str]) -> Self:
        """The request with each local file replaced by its URL in `urls`, if it has one.

        Raises:
            InvalidRequestError: a value in `urls` is not a URL.
        """
        if not self.local_files():
            return self

        def url_of(item: ImageInput) -> ImageInput:
            return urls.get(item, item) if isinstance(item, os.PathLike) else item

        given = self.to_dict()
        replaced = map_files(given, url_of)
        return self._with_fields({name: replaced[name] for name in given if replaced[name] != given[name]})

    @property
    def expected(self) -> int:
        """How many results the request asks for; 1 if it does not say."""
        count = getattr(self, "num_outputs", None)
        return count if isinstance(count, int) and count > 1 else 1

    def identity(self) -> dict[str, Any]:
        """The fields by which a batch recognises the request. They are the same in every later version."""
        return self.to_dict()

    def price_fields(self) -> dict[str, Any]:
        """The fields that may decide the price: all except texts and a single input file. A list of
        input files counts by its length.
        """
        texts = self._texts()
        fields: dict[str, FieldValue] = self.identity()
        return {
            name: len(value) if is_file_list(name) and isinstance(value, list) else value
            for name, value in fields.items()
            if name not in texts and not is_file(name)
        }

    def _texts(self) -> Collection[str]:
        """The names of the fields that hold texts for the model."""
        return ("prompt",)

    def wire(self) -> dict[str, Any]:
        """The body of the POST to `path`: a new JSON-ready dictionary, without defaults.

        Raises:
            InvalidRequestError: a local file is still among the input files; see `local_files`, `with_files`.
        """
        if files := self.local_files():
            raise InvalidRequestError(
                problems=[f"a local file is not uploaded: {shown(file)}" for file in files]
            )
        body = self.to_dict()
        body.pop("path", None)
        return body
