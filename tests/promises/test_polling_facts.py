"""Status reads: what they obey, and what they find in a reply."""

import json

import pytest
from helpers import fox_request, polls, session_at

from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

ADDRESSES = ["http://127.0.0.1:9/one.png", "http://127.0.0.1:9/two.png"]


async def test_a_503_with_a_retry_after_holds_every_poll():
    """Five tasks run. A poll gets a 503 with `Retry-After: 30`. No task is polled for 30 s."""
    faults = [Fault.status("poll", 503, retry_after=30)]
    async with Emulator(seconds=5, faults=faults) as emulator, session_at(emulator) as fox:
        handles = [await fox.submit(fox_request()) for _ in range(5)]
        for handle in handles:
            await handle

    refused, *others = [record.when for record in polls(emulator)]
    assert [when for when in others if when < refused + 30] == []


OLDER_SHAPES = {
    "urls": {"urls": ADDRESSES},
    "url": {"url": ADDRESSES[0]},
}


@pytest.mark.parametrize("output", OLDER_SHAPES.values(), ids=OLDER_SHAPES)
@pytest.mark.parametrize("results", [[], None], ids=["empty results", "null results"])
async def test_the_older_output_beside_no_results_gives_the_images(emulator, fox, results, output):
    """A reply with an empty `results` and the older `output` has the images of that output."""
    handle = await fox.submit(fox_request())
    reply = {"id": handle.id, "status": "completed", "results": results, "output": output}
    emulator.add_fault(Fault.garbage("poll", body=json.dumps(reply).encode()))

    result = await handle

    assert [image.url for image in result.images] == ADDRESSES[: len(output.get("urls", "1"))]
