"""Everything over a real loop and the real clock: asyncio, and uvloop in the run that uses it."""

import asyncio
import itertools
import logging
import os
import subprocess
import sys

import pytest
from helpers import fox_request, session_at

from foxapi_async import (
    ConnectionFailedError,
    FoxSession,
    RetryPolicy,
    TaskFailedError,
    UncertainSubmitError,
)
from foxapi_async.emulator import Emulator, Fault, ThreadedEmulator


async def test_the_fixture_serves_a_session_without_settings(foxapi_emulator, tmp_path):
    """With the pytest fixture, `FoxSession()` alone finds the emulator, and images come within about a second."""
    async with FoxSession() as fox:
        result = await fox.generate(fox_request(num_outputs=2))
        paths = await result.save(tmp_path)

    assert 2 == len(paths)
    assert 1 == foxapi_emulator.billed


def test_the_fixture_serves_a_synchronous_test(foxapi_emulator, new_loop, tmp_path):
    """A test without its own loop can run one with the fixture."""

    async def make():
        async with FoxSession() as fox:
            return await (await fox.generate(fox_request())).save(tmp_path)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(make())[0].exists()


@pytest.mark.thorough
async def test_a_crowd_over_real_sockets():
    """Two hundred tasks at a time finish, each billed once, with their errors in their outcomes."""
    faults = [
        Fault.rate("poll", 0.05),
        Fault.status("poll", 429, retry_after=0.05, after=100, times=5),
        Fault.fails(times=3, after=20),
        Fault.cut_after("submit", times=2, after=50),
    ]
    async with Emulator(seconds=0.5, faults=faults) as emulator, session_at(emulator) as fox:
        outcomes = [o async for o in fox.as_completed(fox_request(f"fox {i}") for i in range(200))]

    failed = [outcome.error for outcome in outcomes if outcome.error]
    assert (200, 200) == (len(outcomes), emulator.billed)
    assert 3 == sum(isinstance(error, TaskFailedError) for error in failed)
    assert ["unknown"] * 5 == [error.charged for error in failed]


async def test_a_session_of_ones_own_is_used_and_left_open():
    """`http=` is used for everything, never gets our key in its defaults, and is not closed."""
    import aiohttp

    async with Emulator(seconds=0.2) as emulator, aiohttp.ClientSession() as own:
        async with session_at(emulator, http=own) as fox:
            result = await fox.generate(fox_request())
            assert await result.images[0].read()
        assert not own.closed
        assert not own.headers
    assert emulator.connections < 4


async def test_a_session_of_ones_own_that_cannot_be_used_is_refused():
    """A closed `http=`, or one with its own credentials, is a ConfigurationError on entering."""
    import aiohttp

    from foxapi_async import ConfigurationError

    closed = aiohttp.ClientSession()
    await closed.close()
    with pytest.warns(DeprecationWarning):
        with_auth = aiohttp.ClientSession(auth=aiohttp.BasicAuth("a", "b"))
    async with with_auth:
        for own in (closed, with_auth):
            with pytest.raises(ConfigurationError, match="http="):
                async with FoxSession("sk-test-12345", http=own):
                    raise AssertionError("entered")


async def test_plain_http_beyond_this_machine_is_warned_of(caplog):
    """An allowed plain connection to another machine gives one warning, on entering."""
    async with FoxSession("sk-test-12345", base_url="http://fox.example", allow_http=True):
        pass

    assert "unencrypted" in caplog.text


@pytest.mark.thorough
def test_an_app_that_is_killed_says_what_runs_on(tmp_path):
    """A session that Ctrl-C ends names the ids of paid tasks that still run: in the log, and with the traceback."""
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio, os, signal, logging\n"
        "from foxapi_async import FoxSession, GrokImagineImage\n"
        "logging.basicConfig()\n"
        "async def main():\n"
        "    async with FoxSession() as fox:\n"
        "        await fox.submit(GrokImagineImage('a fox'))\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.sleep(30)\n"
        "asyncio.run(main())\n"
    )
    with ThreadedEmulator(seconds=30) as emulator:
        env = {**os.environ, "FOXAPI_API_KEY": emulator.key, "FOXAPI_BASE_URL": emulator.url}
        done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=60)
        (task_id,) = emulator.tasks

    assert task_id in done.stderr
    assert emulator.key not in done.stderr
    log, _, traceback = done.stderr.partition("Traceback")
    assert [1, 1] == [text.count("the session was closed with") for text in (log, traceback)]
    assert task_id in traceback


async def stay_in_debug_mode(caplog):
    """The messages of asyncio's debug mode about our code in one session."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    caplog.clear()
    async with Emulator(seconds=0.2) as emulator, session_at(emulator) as fox:
        await fox.generate(fox_request())
    loop.set_debug(False)
    words = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    return [each for each in words if "foxapi_async/_" in each]


async def test_debug_mode_of_asyncio_finds_nothing(caplog):
    """asyncio's debug mode reports no slow callback, no coroutine never awaited, no task destroyed."""
    caplog.set_level(logging.WARNING, logger="asyncio")
    stays = [await stay_in_debug_mode(caplog) for _ in range(3)]

    # On a busy machine any callback may be slow once; a slow one of ours would be in each session.
    assert [] in stays
    assert [] == [words for words in itertools.chain(*stays) if "Executing" not in words]


async def test_a_session_of_ones_own_that_is_closed_meanwhile_is_reported():
    """Closing `http=` under an open session gives errors, not hangs."""
    import aiohttp

    async with Emulator(seconds=0.2) as emulator:
        own = aiohttp.ClientSession()
        async with session_at(emulator, http=own, retry=RetryPolicy(tries=1)) as fox:
            await own.close()
            for use in (fox.submit(fox_request()), fox.fetch("task-1"), fox.upload(b"GIF89a")):
                with pytest.raises(ConnectionFailedError, match="closed"):
                    await use

    assert 0 == emulator.billed


async def test_an_answer_that_breaks_off_is_uncertain_or_read_again():
    """Half a reply to a submit leaves it unknown, with its status; half a reply to a poll is read again."""
    faults = [Fault.short_body("submit"), Fault.short_body("poll", times=2)]
    async with Emulator(seconds=0.3, faults=faults) as emulator, session_at(emulator) as fox:
        with pytest.raises(UncertainSubmitError) as caught:
            await fox.submit(fox_request())
        assert (await fox.generate(fox_request())).images

    assert (200, 2) == (caught.value.status, emulator.billed)


@pytest.mark.parametrize("own", [False, True])
async def test_nothing_below_repeats_a_request(own):
    """A status read over a kept connection that the server drops is sent once: aiohttp's own repeat is off."""
    import aiohttp

    seen = []

    async def serve(reader, writer):
        for _ in range(2):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            if len(seen) == 2:
                break
            body = b'{"id": "task-1", "status": "pending"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http = aiohttp.ClientSession() if own else None
    async with FoxSession("sk-test-12345", base_url=url, http=http, retry=RetryPolicy(tries=1)) as fox:
        assert "pending" == (await fox.fetch("task-1")).status
        with pytest.raises(ConnectionFailedError):
            await fox.fetch("task-1")
    server.close()
    if http is not None:
        await http.close()

    assert 2 == len(seen)
