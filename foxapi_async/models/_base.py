"""The base class of all requests, and the one error that names all problems of a request."""

from __future__ import annotations

import abc
import os
from typing import TYPE_CHECKING, Any, Self

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._values import ImageInput, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# An error message lists at most this many problems; `.problems` has all.
_SHOWN_PROBLEMS = 20


def refusal(problems: Sequence[str], hint: str = "") -> InvalidRequestError:
    """One error for all the problems of a request."""
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    rest = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    message = count + "; ".join(problems[:_SHOWN_PROBLEMS]) + rest
    return InvalidRequestError(f"{message}. {hint}" if hint else message, problems=tuple(problems))


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

        A local image stays an `os.PathLike`: a string in `image_urls` is always a URL.
        """

    @abc.abstractmethod
    def _with_images(self, images: list[Any]) -> Self:
        """The same request with other `image_urls`."""

    def local_files(self) -> tuple[os.PathLike[str], ...]:
        """The local files in `image_urls`, each once, in order. They must be uploaded before the request is sent."""
        images: list[ImageInput] | None = self.to_dict().get("image_urls")
        items = images if isinstance(images, list) else []
        return tuple(dict.fromkeys(item for item in items if isinstance(item, os.PathLike)))

    def with_files(self, urls: Mapping[os.PathLike[str], str]) -> Self:
        """The request with each local file replaced by its URL in `urls`, if it has one.

        Raises:
            InvalidRequestError: a value in `urls` is not a URL.
        """
        if not self.local_files():
            return self
        images: list[ImageInput] = self.to_dict()["image_urls"]
        return self._with_images([urls.get(i, i) if isinstance(i, os.PathLike) else i for i in images])

    def wire(self) -> dict[str, Any]:
        """The body of the POST to `path`: a new JSON-ready dictionary, without defaults.

        Raises:
            InvalidRequestError: a local file is still among the images; see `local_files`, `with_files`.
        """
        if files := self.local_files():
            raise refusal(
                [f"image_urls has a local file that is not uploaded: {shown(file)}" for file in files]
            )
        body = self.to_dict()
        body.pop("path", None)
        return body
