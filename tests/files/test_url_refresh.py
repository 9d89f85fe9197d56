"""A later reply of a task gives its files fresh addresses."""

from __future__ import annotations

import pytest

from foxapi_async._files.values import FileRequest, Position

URL = "https://cdn.test/a.png"


@pytest.mark.parametrize(
    ("position", "count", "url"),
    [
        (Position(0, 2), 2, "u0"),
        (Position(1, 2), 2, "u1"),
        (Position(0, 2), 1, None),
        (Position(0, 1), 2, None),
        (None, 1, None),
    ],
)
def test_a_fresh_address_is_that_of_the_same_position_among_as_many(position, count, url):
    """A later reply gives a file's address by its position, and None if the number of files has changed."""
    found = FileRequest(URL, "task-1", position).at_fresh_address([f"u{n}" for n in range(count)])

    assert (found and found.url) == url
    assert found is None or found == FileRequest(url, "task-1", position)
