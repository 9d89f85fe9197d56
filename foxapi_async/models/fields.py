"""The types of the mappings of models without a class. They are in `fields.pyi`, for type checkers alone: a program
gets `dict` in place of each of them.
"""


def __getattr__(name: str) -> type[dict[str, object]]:
    if name.endswith("Fields"):
        return dict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
