"""What the check of a request costs: the largest entry of the catalogue, against a request of a class.

Both are made from a mapping by `parse_request`, as each line of a batch is.
"""

from __future__ import annotations

import time
from typing import Any

from _table import against, interleave, middle, paired, show

from foxapi_async.models import find_models, parse_request

ROUNDS = 9
COUNT = 5_000
TARGET = 20.0
VALUES = {
    "text": "a red fox in the snow",
    "integer": 5,
    "number": 0.5,
    "flag": True,
    "list": ["fox"],
    "object": {"steps": 4},
    "any": "720p",
    "file": "https://example.com/fox.png",
    "images": ["https://example.com/fox.png"],
    "files": ["https://example.com/fox.mp4"],
}


def largest() -> dict[str, Any]:
    """A request with all fields of the model that has the most."""
    definition = max(find_models(), key=lambda each: len(each.fields))
    fields = {spec.name: spec.choices[0] if spec.choices else VALUES[spec.kind] for spec in definition.fields}
    return {"model": definition.model, **fields}


def seconds_of(mapping: dict[str, Any]) -> float:
    """Seconds of CPU for one request."""
    began = time.process_time()
    for _ in range(COUNT):
        parse_request(mapping)
    return (time.process_time() - began) / COUNT


def main() -> None:
    mapping = largest()
    small = {"model": "grok-imagine-image", "prompt": "a red fox in the snow", "num_outputs": 2}
    names = (f"{mapping['model']}, {len(mapping) - 1} fields", "grok-imagine-image, 2 fields")
    found = interleave({names[0]: lambda: seconds_of(mapping), names[1]: lambda: seconds_of(small)}, ROUNDS)
    rows = [(name, f"{1e6 * middle(figures):.1f}") for name, figures in found.items()]
    ratio = paired(found[names[0]], found[names[1]])
    show(
        f"Checking a request: microseconds of CPU, medians of {ROUNDS} interleaved rounds",
        ("", "µs"),
        rows,
        [
            f"ratio: {ratio:.1f}",
            against("microseconds for the largest entry", 1e6 * middle(found[names[0]]), TARGET),
        ],
    )


if __name__ == "__main__":
    main()
