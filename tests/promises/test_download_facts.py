"""Downloads of result files obey the host."""

import pytest
from helpers import fox_request

from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual


@pytest.mark.parametrize("status", [429, 503])
async def test_a_downloads_retry_after_is_obeyed(emulator, fox, status):
    """The host of a result file answers with `Retry-After: 20`. The next request for the file comes after 20
    s, not earlier.
    """
    result = await fox.generate(fox_request())
    emulator.add_fault(Fault.status("file", status, retry_after=20))

    await result.images[0].read()

    first, second = [record.when for record in emulator.requests if record.path.startswith("/files/")]
    assert second >= first + 20
