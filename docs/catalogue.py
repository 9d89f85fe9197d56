"""Makes the catalogue of models from its two sources, and what depends on it.

    python docs/catalogue.py                    the catalogue, the classes, the types of fields, and docs/models.md
    python docs/catalogue.py extract FOLDER     `extract.json`, from OpenAPI files

The sources are in `foxapi_async/models/catalogue`. `extract.json` has what the service's OpenAPI files say. `facts.toml` has
what they do not say. A fact that is in both must be the same.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "foxapi_async" / "models" / "catalogue"
CATALOGUE = ROOT / "foxapi_async" / "models" / "_generated.json"
TYPES = ROOT / "foxapi_async" / "models" / "fields.pyi"
CLASSES = ROOT / "foxapi_async" / "models" / "_generated.py"
PAGE = ROOT / "docs" / "models.md"

# What an endpoint makes, unless a fact says otherwise.
RETURNS = {
    "images": "image",
    "videos": "video",
    "audios": "audio",
    "audio": "audio",
    "run": "document",
    "llm": "text",
}
KINDS = {"integer": "integer", "number": "number", "boolean": "flag", "object": "object", "array": "list"}
# An input file's field ends in _url, or in _urls if it is a list. The word before says what it takes.
MEDIA = {
    "image": "image", "mask": "image", "video": "video", "audio": "audio", "voice": "audio", "archive": "archive",
    "pdf": "document", "srt_file": "document", "tail": "image", "file": "file",
}  # fmt: skip
NO_INPUT = "callback_url"

TYPED = {  # of a field's kind
    "text": "str", "integer": "int", "number": "float", "flag": "bool", "object": "dict[str, Any]", "any": "Any",
    "file": "str | os.PathLike[str]", "files": "list[str | os.PathLike[str]]",
    "images": "list[str | os.PathLike[str]]",
}  # fmt: skip


class DisagreementError(Exception):
    """A fact is in both sources, and not the same."""


# The extract.


def extract(specs: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """What OpenAPI files say about the fields of the models: a file's name and its content, for each."""
    entries = [entry for name, spec in specs for entry in _entries_of(name, spec)]
    note = "Request fields by endpoint and model, from the service's OpenAPI files. A type that is absent was one of several."
    return {"note": note, "entries": entries}


def _entries_of(name: str, spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in spec["paths"].items():
        if not path.endswith("/generations") or "post" not in methods:
            continue
        schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema = _resolved(schema, spec)
        required = schema.get("required", ())
        fields = [
            _field_of(field, _resolved(given, spec), required)
            for field, given in schema["properties"].items()
        ]
        model = next(field for field in fields if field["name"] == "model")
        ids = model.get("enum") or [model["default"]] if model.keys() & {"enum", "default"} else []
        fields.sort(key=lambda field: (not field["required"], field["name"]))
        yield {"path": path, "models": ids, "source": name, "fields": fields}


def _resolved(schema: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    while reference := schema.get("$ref"):
        schema = spec
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
    return schema


def _field_of(name: str, schema: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    kind = schema.get("type")
    return {
        "name": name,
        **({"type": kind} if isinstance(kind, str) else {}),
        "required": name in required,
        **{word: schema[word] for word in ("default", "enum") if word in schema},
        **({"items": schema["items"]["type"]} if "type" in schema.get("items", {}) else {}),
    }


# The merger.


def merge(extracted: Mapping[str, Any], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of the catalogue.

    Raises:
        DisagreementError: a fact is in both, and not the same.
    """
    sources: dict[str, list[dict[str, Any]]] = {}
    for entry in extracted["entries"]:
        for model in entry["models"] or [entry["source"].removesuffix(".json")]:
            sources.setdefault(model, []).append(entry)
    made: list[dict[str, Any]] = []
    for name, model in facts["models"].items():
        ids = model.get("ids", [name])
        known = [entry for each in ids for entry in sources.pop(each, ()) if entry["models"]]
        made.append(_with_facts(name, ids, known, model))
    skipped = set(facts.get("classes", ()))
    for name, (entry, *_) in sources.items():
        if name not in skipped:
            made.append(_alone(name, entry))
    return sorted(made, key=lambda entry: (entry["path"], entry["ids"]))


def _alone(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of which only the extract knows."""
    fields = [_extracted(field) for field in entry["fields"] if field["name"] != "model"]
    return {
        "ids": [name] if entry["models"] else [],
        **({} if entry["models"] else {"name": name}),
        "path": entry["path"],
        "returns": RETURNS[entry["path"].split("/")[2]],
        "level": "extract",
        "source": entry["source"],
        "fields": fields,
        "example": {
            field["name"]: _sample(field)
            for field in fields
            if field.get("required") or field["name"] == "prompt"
        },
    }


def _with_facts(
    name: str, ids: list[str], entries: list[dict[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    said = dict(facts["fields"])
    extracted = {
        field["name"]: field for entry in entries for field in entry["fields"] if field["name"] != "model"
    }
    for entry in entries:
        for field in entry["fields"]:
            if field["name"] in said:
                _compare(f"{name}.{field['name']}", field, said[field["name"]])
    whole, level = facts.get("whole", False), facts["level"]
    if whole and (unknown := extracted.keys() - said.keys() - set(facts.get("omit", ()))):
        raise DisagreementError(f"{name}: the extract also has {', '.join(sorted(unknown))}")
    fields = [
        _merged(name, field, extracted.get(field), said.get(field, {}), level)
        for field in {**extracted, **said}
        if field not in facts.get("omit", ())
    ]
    fields.sort(
        key=lambda field: (not field.get("required"), list({**said, **extracted}).index(field["name"]))
    )
    path = entries[0]["path"] if entries else facts.get("path", "/v1/images/generations")
    rules = {word: facts[word] for word in ("exclude", "at_most") if word in facts}
    return {
        "ids": ids,
        "path": path,
        "returns": facts.get("returns", RETURNS[path.split("/")[2]]),
        "level": level,
        "source": facts["source"],
        **({"whole": True} if whole else {}),
        **({word: facts[word] for word in ("class", "makes") if word in facts}),
        "fields": fields,
        **({"rules": rules} if rules else {}),
        "example": facts["example"],
    }


def _merged(
    model: str, name: str, extracted: Mapping[str, Any] | None, said: Mapping[str, Any], level: str
) -> dict[str, Any]:
    """A field of both sources; those by hand say more."""
    base = {"name": name} if extracted is None else _extracted(extracted)
    medium = {"medium": "image"} if said.get("kind") == "images" else {}
    field = {**base, **medium, **said, **({"level": level} if said else {})}
    if "kind" not in field:
        raise DisagreementError(f"{model}.{name}: no source gives its kind")
    return field


def _extracted(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field as the catalogue has it, from what the extract says."""
    name = field["name"]
    kind = "choice" if "enum" in field else KINDS.get(field.get("type", ""), "any")
    medium = None
    if name != NO_INPUT and (name.endswith(("_url", "_urls"))):
        words = name.rsplit("_", 1)[0]
        medium = MEDIA.get(words) or MEDIA.get(words.rsplit("_", 1)[-1], "image")
        many = name.endswith("_urls")
        kind = ("images" if medium == "image" else "files") if many else "file"
    elif field.get("type") == "string" and kind == "any":
        kind = "text"
    default = field.get("default")
    return {
        "name": name,
        "kind": kind,
        **({"medium": medium} if medium else {}),
        **({"choices": field["enum"]} if "enum" in field else {}),
        **({"default": _shown(default)} if default not in (None, "") else {}),
        **({"required": True} if field["required"] else {}),
        "level": "extract",
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _compare(place: str, extracted: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    known = _extracted(extracted)
    loose = {
        "any": None,
        "text": ("choice", "text", "size"),
        "list": ("list", "files", "images"),
        "file": ("file",),
    }
    if (kind := said.get("kind", known["kind"])) != known["kind"]:
        allowed = loose.get(known["kind"], ())
        if allowed is not None and kind not in allowed:
            raise DisagreementError(f"{place}: {kind}, and {known['kind']} in the extract")
    for word in ("default", "choices", "required"):
        if word in said and word in known and said[word] != known[word]:
            raise DisagreementError(f"{place}: {word} {said[word]!r}, and {known[word]!r} in the extract")


def _sample(field: Mapping[str, Any]) -> Any:
    """A value for an example."""
    endings = {
        "image": "fox.png",
        "video": "fox.mp4",
        "audio": "fox.wav",
        "archive": "foxes.zip",
        "document": "fox.pdf",
    }
    address = f"https://example.com/{endings.get(field.get('medium', ''), 'fox.bin')}"
    samples = {
        "text": "a red fox", "integer": 1, "number": 1.0, "flag": True, "object": {}, "list": [{}], "any": "a red fox",
        "file": address, "images": [address], "files": [address],
    }  # fmt: skip
    if field["name"] == "resolution":
        return "720p"
    return field["choices"][0] if field["kind"] == "choice" else samples[field["kind"]]


# What depends on the catalogue.


def types_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """A stub with a `TypedDict` for each set of fields."""
    lines = [
        "# The fields of the models that have no class, for type checkers. Made by docs/catalogue.py.",
        "import os",
        "from typing import Any, Literal, NotRequired, TypedDict",
    ]
    for entry in entries:
        name = entry.get("name") or entry["ids"][0]
        model = f"Literal[{', '.join(map(_quoted, entry['ids']))}]" if entry["ids"] else "str"
        lines += ["", f"class {_class_name(name)}(TypedDict):", f"    model: {model}"]
        lines += [f"    {field['name']}: {_annotation(field)}" for field in entry["fields"]]
    return "\n".join(lines) + "\n"


def classes_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """The module with a class for each entry that names one."""
    lines = [
        '"""Image models with a class. Made by docs/catalogue.py, and not changed by hand."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "from typing import Any, Literal",
        "",
        "from foxapi_async.models._catalogue_request import TypedRequest",
        "from foxapi_async.models._values import ImageInput",
    ]
    for entry in entries:
        if "class" in entry:
            lines += ["", "", *_class_of(entry)]
    return "\n".join(lines) + "\n"


def _class_of(entry: Mapping[str, Any]) -> Iterator[str]:
    ids, fields = entry["ids"], entry["fields"]
    required = [field for field in fields if field.get("required")]
    named = [field for field in fields if not field.get("required")]
    yield f"class {entry['class']}(TypedRequest):"
    yield f'    """{", ".join(f"`{model}`" for model in ids[:2])}{" and others" if ids[2:] else ""}: {entry["makes"]}.'
    yield ""
    yield "    Args:"
    for field in required:
        yield f"        {field['name']}: {_meaning(field)}"
    if ids[1:]:
        yield f"        model: which of them{'' if ids[2:] else f'; `{ids[0]}` if left out'}."
    for field in named:
        yield f"        {field['name']}: {_meaning(field)}"
    yield from (
        "",
        "    Raises:",
        "        InvalidRequestError: `.problems` has a line for each wrong field.",
        '    """',
    )
    yield from ("", "    def __init__(", "        self,")
    for field in required:
        yield f"        {field['name']}: {_argument(field)},"
    if named or ids[1:]:
        yield "        *,"
    if ids[1:]:
        yield f"        model: Literal[{', '.join(map(_quoted, ids))}]{'' if ids[2:] else f' = {_quoted(ids[0])}'},"
    for field in named:
        yield f"        {field['name']}: {_argument(field)} | None = None,"
    yield "    ) -> None:"
    model = "model" if ids[1:] else _quoted(ids[0])
    given = ", ".join(f"{field['name']}={field['name']}" for field in fields)
    yield f"        super().__init__({model}, {given})"


def _meaning(field: Mapping[str, Any]) -> str:
    text = field["help"][0].lower() + field["help"][1:]
    default = f"; `{field['default']}` if left out" if "default" in field else ""
    return text.removesuffix(".") + default + "."


def _argument(field: Mapping[str, Any]) -> str:
    choices = ", ".join(map(_quoted, field.get("choices", ())))
    words = {
        **TYPED,
        "choice": f"Literal[{choices}]",
        "size": f"Literal[{choices}] | Mapping[str, int]",
        "list": f"Sequence[Literal[{choices}]]" if choices else "Sequence[str]",
        "file": "ImageInput",
        "images": "Sequence[ImageInput]",
        "object": "Mapping[str, Any]",
    }
    return words[field["kind"]]


def _quoted(text: str) -> str:
    return json.dumps(text)


def _class_name(model: str) -> str:
    words = "".join(char if char.isalnum() else " " for char in model.replace(".", "")).split()
    return "".join(word[0].upper() + word[1:] for word in words) + "Fields"


def _annotation(field: Mapping[str, Any]) -> str:
    choices = ", ".join(map(_quoted, field.get("choices", ())))
    match field["kind"]:
        case "choice":
            kind = f"Literal[{choices}]"
        case "size":
            kind = f"Literal[{choices}] | dict[str, int]"
        case "list":
            kind = f"list[Literal[{choices}]]" if choices else "list[Any]"
        case other:
            kind = TYPED[other]
    return kind if field.get("required") else f"NotRequired[{kind}]"


HEAD = """# Models

The service has many models behind one interface. The image models have a class in Python, with its own types and
completion in an editor, such as `GrokImagineImage` or `GptImage2` of `foxapi_async.models`. All others are mappings: give
`{"model": "sora-2", "prompt": "a red fox runs"}` to `fox.submit`, a line of a batch, or `foxapi generate --model`. A
mapping works for every model.

`foxapi models NAME` shows the fields of a model, their limits and an example. In Python:

```python
from foxapi_async.models import find_models, model_definition

print([definition.model for definition in find_models(returns="video", search="lip sync")])
print([field.name for field in model_definition("gpt-image-2").fields])
```

Each model has its own fields and values for the size. `size_fields` knows them:

```python
from foxapi_async.models import size_fields

print(size_fields("gemini-3-pro-image-preview", "16:9", 2))
print(size_fields("gpt-image-2", "16:9", 2))
```

Types for these mappings are in `foxapi_async.models.fields`: `Sora2Fields` is the mapping of `sora-2`.

The column "known from" says how sure the fields are:

- "page": the service's own page of the model. What it does not allow is refused before it is sent.
- "text": a summary of the service's pages, and its clients. It is refused in the same way.
- "extract": only the service's OpenAPI file is known. What it does not allow is sent, and a warning is logged.

A model that is not in this table is sent unchecked. `RawRequest` sends any model with any fields. This table is made by
`docs/catalogue.py`.

| model | takes | returns | known from |
| --- | --- | --- | --- |
"""


def page_of(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """The page about the models: for each its id, what it takes, what it returns, and the level of its facts."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def rows_of(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """The rows of models that are mappings."""
    for entry in entries:
        takes = ", ".join(f"`{field['name']}`" for field in entry["fields"])
        for model in entry["ids"] or [f"any model of {entry['path']} ({entry['name']})"]:
            name = f"`{model}`" if entry["ids"] else model
            name += f", `{entry['class']}`" if "class" in entry else ""
            yield name, takes, entry["returns"], entry["level"]


def rows_of_classes() -> Iterator[tuple[str, str, str, str]]:
    """The rows of models that have a class."""
    from foxapi_async.models import MODELS  # noqa: PLC0415 - it reads the catalogue, which is made here

    for model, cls in MODELS.items():
        takes = ", ".join(f"`{spec.name}`" for spec in cls.fields())
        yield f"`{model}`, `{cls.__name__}`", takes, "image", "page"


def text_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """The catalogue as a file: an entry a line."""
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n"


def read_sources() -> tuple[dict[str, Any], dict[str, Any]]:
    """The extract and the facts."""
    extracted = json.loads((SOURCES / "extract.json").read_text("utf-8"))
    return extracted, tomllib.loads((SOURCES / "facts.toml").read_text("utf-8"))


def main(arguments: list[str]) -> None:
    """Write the files."""
    if arguments[:1] == ["extract"]:
        files = sorted(Path(arguments[1]).glob("*.json"))
        found = extract((file.name, json.loads(file.read_text("utf-8"))) for file in files)
        text = json.dumps(found, ensure_ascii=False, indent=1)
        (SOURCES / "extract.json").write_text(f"{text}\n", "utf-8")
        return
    entries = merge(*read_sources())
    CATALOGUE.write_text(text_of(entries), "utf-8")
    TYPES.write_text(types_of(entries), "utf-8")
    CLASSES.write_text(classes_of(entries), "utf-8")
    PAGE.write_text(page_of([*rows_of_classes(), *rows_of(entries)]), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
