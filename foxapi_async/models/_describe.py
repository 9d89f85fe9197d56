"""A model's fields as a Markdown table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxapi_async.models._fields import FieldSpec
    from foxapi_async.models._model import ModelRequest

_HEAD = "| field | allowed | if left out | what it does |\n| --- | --- | --- | --- |"


def describe(model: type[ModelRequest]) -> str:
    """A Markdown section for one class of `MODELS`: its id, its name and a table of its fields."""
    rows = "\n".join(f"| {' | '.join(_cells(spec))} |" for spec in model.fields())
    return f"### `{model.model}`: `{model.__name__}`\n\n{_HEAD}\n{rows}\n"


def _cells(spec: FieldSpec) -> tuple[str, ...]:
    left_out = (
        "required"
        if spec.required
        else spec.default or ("none" if spec.kind == "images" else "not documented")
    )
    advice = " Leave it out unless you need it." if spec.advanced else ""
    return f"`{spec.name}`", spec.allowed.replace('"', "`"), left_out, spec.help + advice
