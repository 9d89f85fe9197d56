"""Checks what a command needs: key, address, proxy, certificate, clock and disk. Nothing is billed."""

from __future__ import annotations

import asyncio
import functools
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import attrs

from foxapi_async._errors import ConfigurationError, FoxError, NotFoundError
from foxapi_async._hints import Hint, with_hint
from foxapi_async._http.credentials import DEFAULT_BASE_URL, Credentials, resolve_credentials
from foxapi_async._http.proxy import Proxy, environment_proxy
from foxapi_async._http.transport import Transport
from foxapi_async._policy.judge import judge_read
from foxapi_async._policy.verdict import Verdict
from foxapi_async._version import __version__
from foxapi_async._wire import requests
from foxapi_async._wire.headers import parse_date
from foxapi_async._wire.replies import read_status
from foxapi_async._wire.requests import Failure, Reply
from foxapi_async._wire.texts import duration
from foxapi_async.cli import _exits
from foxapi_async.cli._messages import SHELL_WORDS
from foxapi_async.cli._screen import Screen

# No task has this id, so the service answers 404 if it accepts the key.
_NO_TASK = "foxapi-doctor"
# Replaces a key that is missing or wrong, so that the rest can still be checked.
_NO_KEY = "sk-00000000"
# `foxapi doctor` has no --emulator, because it checks the connection to the real service.
_WORDS = SHELL_WORDS | {Hint.SET_KEY: "set FOXAPI_API_KEY (`foxapi generate PROMPT --emulator` needs no key)"}
_CLOCK_SECONDS = 30.0
_LEAST_FREE = 100 * 1024 * 1024


@attrs.frozen
class CheckResult:
    """The result of one check.

    Attributes:
        check: its name.
        text: what was found, and what to do about it.
        status: the exit status of a command with this result; 0 if nothing is wrong.
    """

    check: str
    text: str
    status: int = _exits.DONE

    @classmethod
    def of(cls, check: str, error: FoxError) -> CheckResult:
        """The result of a check that failed, in the words of the shell."""
        return cls(check, with_hint(error.what_happened, error.hint, _WORDS), _exits.status_of(error))


async def examine(out: Path, screen: Screen) -> int:
    """Make all checks, and show each as soon as it is made. Returns the exit status of the worst one."""
    results: list[CheckResult] = []

    def show(result: CheckResult) -> None:
        screen.line(f"{'bad' if result.status else 'ok':<4} {result.check:<12} {result.text}")
        screen.data({"check": result.check, "ok": not result.status, "message": result.text})
        results.append(result)

    show(CheckResult("version", f"foxapi-async {__version__}, Python {platform.python_version()}"))
    credentials = resolve_credentials(None, None, allow_http=False, environ=os.environ)
    has_key = not (isinstance(credentials, ConfigurationError) and credentials.hint is Hint.SET_KEY)
    if isinstance(credentials, ConfigurationError) and not has_key:
        show(CheckResult.of("key", credentials))
        credentials = resolve_credentials(_NO_KEY, None, allow_http=False, environ=os.environ)
    else:
        show(CheckResult("key", "a key is set"))
    proxy = environment_proxy()
    show(_address(credentials))
    show(proxy_result := _proxy(proxy, credentials))
    show(_disk(out))
    if isinstance(credentials, Credentials) and not proxy_result.status:
        for result in await _service(credentials, proxy, has_key=has_key):
            show(result)
    return max(result.status for result in results)


def _address(credentials: Credentials | ConfigurationError) -> CheckResult:
    if isinstance(credentials, ConfigurationError):
        return CheckResult.of("address", credentials)
    where = "the default" if credentials.base_url == DEFAULT_BASE_URL else "from FOXAPI_BASE_URL"
    return CheckResult("address", f"{credentials.base_url}, {where}")


def _proxy(proxy: Proxy, credentials: Credentials | ConfigurationError) -> CheckResult:
    address = credentials.base_url if isinstance(credentials, Credentials) else DEFAULT_BASE_URL
    try:
        proxy.check(address)
    except ConfigurationError as error:
        return CheckResult.of("proxy", error)
    if proxy.address is None and proxy.fault is None:
        return CheckResult("proxy", "none")
    used = isinstance(credentials, Credentials) and proxy.is_used_for(address)
    return CheckResult(
        "proxy", f"{proxy.fault or proxy}{'' if used else '; it is not used for this address'}"
    )


def _disk(out: Path) -> CheckResult:
    """Whether files can be written to the folder. If it does not exist, its nearest parent is tested."""
    folder = out.absolute()
    try:
        folder = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        text = f"{folder} cannot be written to ({error.strerror}); choose another --out"
        return CheckResult("disk", text, _exits.FAILED)
    room = f"{free // 1_000_000:,} MB are free in {folder}"
    return (
        CheckResult("disk", f"only {room}; free some space", _exits.FAILED)
        if free < _LEAST_FREE
        else CheckResult("disk", room)
    )


async def _service(credentials: Credentials, proxy: Proxy, *, has_key: bool) -> list[CheckResult]:
    """Ask the service for a task that does not exist: a read, which bills nothing."""
    transport = Transport(credentials, proxy, connections=1, http=None)
    transport.open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        outcome = await transport.read(requests.task_path(_NO_TASK))
        seconds = loop.time() - began
    finally:
        await transport.close()
    verdict = judge_read(outcome, functools.partial(read_status, task_id=_NO_TASK), "fetch")
    if isinstance(verdict, Verdict) and (isinstance(outcome, Failure) or verdict.edge):
        return [CheckResult.of("connection", verdict.error)]
    assert isinstance(outcome, Reply)  # noqa: S101 - a failure has a verdict
    secure = ", and its certificate is accepted" if credentials.base_url.startswith("https:") else ""
    results = [CheckResult("connection", f"it answers in {seconds:.1f} s{secure}")]
    results.extend(_clock(parse_date(outcome.headers.get("Date"))))
    if has_key and isinstance(verdict, Verdict) and not isinstance(verdict.error, NotFoundError):
        results.append(CheckResult.of("account", verdict.error))
    elif has_key:
        results.append(CheckResult("account", "the service accepts the key"))
    return results


def _clock(now: float | None) -> list[CheckResult]:
    """How far this machine's clock is from the service's, which is `now` in Unix time."""
    if now is None:
        return []
    ahead = time.time() - now
    text = f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the service's"
    if abs(ahead) > _CLOCK_SECONDS:
        return [CheckResult("clock", f"{text}; set it, because certificates depend on it", _exits.FAILED)]
    return [CheckResult("clock", text)]
