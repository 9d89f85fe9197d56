"""The base of the model classes. It derives everything from the fields of a model.

A model is one small file: its id, its fields, and the rules between fields as `exclude` and `needs`. From this definition
come the check when an object is made, the wire form, the command line's options and the documentation.
"""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs

from foxapi_async._errors import FieldProblem, InvalidRequestError
from foxapi_async._hints import Hint
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._fields import FieldSpec, option, read_specs
from foxapi_async.models._values import FieldValue, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_models: dict[str, type[ModelRequest]] = {}
MODELS: Mapping[str, type[ModelRequest]] = MappingProxyType(_models)
"""The class of each known model, by model id. Defining a new `ModelRequest` adds it."""


@attrs.frozen
class ModelRequest(GenerationRequest):
    """The base of all model classes. To add a model, subclass it with `@attrs.frozen`.

    Args:
        prompt: what to generate, or how to edit the input images.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field. The advice to use `RawRequest` is there only
            for a field or a choice that the class does not know: the service may have added it.
    """

    path: ClassVar[str] = "/v1/images/generations"
    # Rules between fields; see `ModelDefinition`.
    exclude: ClassVar[tuple[tuple[str, str], ...]] = ()
    needs: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    prompt: str = attrs.field(metadata=option("What to generate, or how to edit the input images."))

    def __attrs_post_init__(self) -> None:
        """Collect the faults of all fields and of their combination, and raise them together."""
        problems = [line for spec in self.fields() for line in spec.problems(getattr(self, spec.name))]
        problems += self._broken_rules()
        if problems:
            raise InvalidRequestError(problems=problems, hint=hint_of(problems))

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Add a class with its own model id to `MODELS`, and let it name the right field for an unknown argument."""
        if isinstance(model := cls.__dict__.get("model"), str):
            _models[model] = cls
            cls.__init__ = suggesting(  # type: ignore[method-assign]
                cls, cls.__init__, lambda: [spec.name for spec in cls.fields()], model
            )

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The allowed values of each field, in the order of the definition."""
        return _read_once(cls)

    @classmethod
    def from_fields(cls, given: Mapping[Any, Any]) -> Self:
        """The request with these fields; None means not set.

        Raises:
            InvalidRequestError: `.problems` lists all wrong values and unknown names.
        """
        names = {spec.name: spec for spec in cls.fields()}
        problems: list[str] = [unknown_field(name, names, cls.model) for name in given if name not in names]
        values: dict[str, Any] = {name: given.get(name) for name in names}
        request = None
        try:
            request = cls(**values)
        except InvalidRequestError as error:
            problems += error.problems
        if problems or request is None:
            raise InvalidRequestError(problems=problems, hint=hint_of(problems))
        return request

    def to_dict(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self.model}
        for spec in self.fields():
            value: FieldValue = getattr(self, spec.name)
            if value is not None:
                fields[spec.name] = list(value) if isinstance(value, tuple) else value
        return fields

    def _broken_rules(self) -> Iterable[str]:
        """One line for each broken rule between fields. The fields may still hold wrong values here."""
        for one, other in self.exclude:
            value = getattr(self, one)
            if value is not None and getattr(self, other) is not None:
                words = one, f"={shown(value)}: only allowed without ", other, "; leave out one of the two"
                yield FieldProblem(*words, type="excluded", values={"other": other})
        for name, value, other in self.needs:
            if getattr(self, name) == value and getattr(self, other) is None:
                rule = f"={shown(value)}: only allowed with "
                parts = name, rule, other, "; give ", other, " or another ", name
                yield FieldProblem(*parts, type="needs", values={"value": shown(value), "other": other})

    def field(self, name: str) -> FieldSpec | None:
        """What is known about a field of this request; None if it has no such field."""
        return next((spec for spec in self.fields() if spec.name == name), None)

    def _texts(self) -> tuple[str, ...]:
        return _texts_of(type(self))

    def _with_fields(self, changes: dict[str, Any]) -> Self:
        return attrs.evolve(self, **changes)


def hint_of(problems: Iterable[str]) -> Hint | None:
    """What can be done about the problems: the first hint among them."""
    hints = (problem.hint for problem in problems if isinstance(problem, FieldProblem))
    return next(filter(None, hints), None)


@functools.cache
def _read_once(cls: type[ModelRequest]) -> tuple[FieldSpec, ...]:
    return read_specs(cls)


@functools.cache
def _texts_of(cls: type[ModelRequest]) -> tuple[str, ...]:
    return tuple(spec.name for spec in cls.fields() if spec.kind == "text")


def suggesting(
    cls: type[GenerationRequest], init: Callable[..., None], names: Callable[[], Sequence[str]], model: str
) -> Callable[..., None]:
    """The constructor with a better error: for an unknown argument, it names the one that was probably meant."""

    @functools.wraps(init)
    def checked(self: GenerationRequest, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError:
            known = names()
            unknown = [unknown_field(name, known, model) for name in kwargs if name not in known]
            if not unknown:
                raise
            problem = "; ".join(unknown)
        else:
            return
        raise TypeError(f"{cls.__name__}: {problem}")

    return checked


# The words of other SDKs.
_ELSEWHERE = {
    **dict.fromkeys(("n", "count", "num_images", "number_of_images", "batch_size"), "num_outputs"),
    **dict.fromkeys(("image", "images", "image_url", "reference_images", "input_images"), "image_urls"),
    **dict.fromkeys(("ratio", "size"), "aspect_ratio"),
    "format": "output_format",
}


def unknown_field(name: object, known: Iterable[str], model: object) -> FieldProblem:
    """The problem of a name that is not a field of a model, with the field that was probably meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    known = tuple(known)
    close = get_close_matches(name[:60], known, cutoff=0.6) if isinstance(name, str) else []
    if isinstance(name, str) and (meant := _ELSEWHERE.get(name)) in known:
        close = [str(meant)]
    advice = f"did you mean {' or '.join(close)}?" if close else f"its fields are {', '.join(known)}"
    words = f"{shown(name)}: no field of {model}; {advice}"
    values = {"name": shown(name), "model": model, "meant": close}
    return FieldProblem("", words, type="unknown_field", values=values, hint=Hint.SEND_RAW)
