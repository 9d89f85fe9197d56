"""`foxapi serve`: a page on this machine, until it is interrupted."""

from __future__ import annotations

import secrets
import shlex
import socket
from argparse import Namespace

from foxapi_async._client.session import FoxSession
from foxapi_async._errors import InvalidRequestError
from foxapi_async._http.credentials import is_loopback
from foxapi_async._wire.texts import counted
from foxapi_async.cli import _exits
from foxapi_async.cli._requests import open_folder
from foxapi_async.cli._running import open_service
from foxapi_async.cli._screen import Screen
from foxapi_async.page._app import Page
from foxapi_async.page._guard import Gate
from foxapi_async.page._server import listen, serve
from foxapi_async.page._service import PageService

_SHORTEST_TOKEN = 16
_ANYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - what a user may ask for
_SHOWN_IDS = 20


class PageCommand:
    """One run of the command.

    Args:
        args: the parsed options.
        screen: where it is shown.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
        InvalidRequestError: the token is too short, or the output folder cannot be used.
    """

    def __init__(self, args: Namespace, screen: Screen) -> None:
        self._args = args
        self._screen = screen
        self._local = is_loopback(args.host)
        self._token = _token_of(args.token, local=self._local)
        timeout = {} if args.timeout is None else {"task_timeout": args.timeout}
        self._session = open_service(args, **timeout)
        self._out = open_folder(args.out)

    async def work(self) -> int:
        """Serve until cancelled.

        Raises:
            ConfigurationError: the server cannot listen on the address.
            InvalidRequestError: the folder was begun with the emulator, and this command uses the service, or the
                other way round.
            LedgerError: another run uses the folder, or it cannot be used.
        """
        with listen(self._args.host, self._args.port) as sock:
            async with self._session as fox:
                await self._serve(fox, sock)
        return _exits.DONE  # pragma: no cover - a server ends by being cancelled

    async def _serve(self, fox: FoxSession, sock: socket.socket) -> None:
        port = sock.getsockname()[1]
        opened = PageService.opened(
            fox,
            self._out,
            emulated=self._args.emulator,
            other_origin=self._args.other_origin,
            rebuild_ledger=self._args.rebuild_ledger,
        )
        is_served = False
        try:
            async with fox, opened as service:
                is_served = True
                self._show_address(port)
                gate = Gate(local=self._local, token=self._token, cookie=f"foxapi_page_{port}")
                await serve(Page(service, gate), sock)
        finally:
            if is_served:
                self._show_unfinished(fox)

    def _show_address(self, port: int) -> None:
        host = socket.gethostname() if self._args.host in _ANYWHERE else self._args.host
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{port}/{f'?token={self._token}' if self._token else ''}"
        self._screen.line(url)
        self._screen.data({"url": url, "out": str(self._out)})
        bill = "images of the emulator: nothing is billed" if self._args.emulator else "each image is billed"
        self._screen.note(f"the page is at the address above; {bill}; Ctrl-C ends it")
        if not self._local:
            self._screen.note(
                "the address holds the token, and http is not encrypted: use it only in networks that you trust"
            )

    def _show_unfinished(self, fox: FoxSession) -> None:
        ids = list(dict.fromkeys(handle.id for handle in fox.unfinished))
        if self._args.emulator:
            self._screen.note("the emulator's tasks end here, and nothing was billed")
        elif ids:
            more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
            shown = f"{', '.join(ids[:_SHOWN_IDS])}{more}"
            self._screen.error(f"{counted(len(ids), 'task')} still running (and billed): {shown}")
            self._screen.error(f"continue with: {shlex.join(['foxapi', *_without_token(self._args.words)])}")


def _token_of(given: str | None, *, local: bool) -> str | None:
    """The token that a browser must send; None if it needs none.

    Raises:
        InvalidRequestError: it could be guessed, or does not fit into an address.
    """
    if given is None:
        return None if local else secrets.token_urlsafe(32)
    if len(given) < _SHORTEST_TOKEN or not all(c.isascii() and (c.isalnum() or c in "-_.~") for c in given):
        raise InvalidRequestError(
            f"--token: give at least {_SHORTEST_TOKEN} letters, digits or the signs - _ . ~"
        )
    return given


def _without_token(words: list[str]) -> list[str]:
    """The command without the token, which is a secret."""
    kept: list[str] = []
    after = False
    for word in words:
        if not after and word != "--token" and not word.startswith("--token="):
            kept.append(word)
        after = word == "--token" and not after
    return kept
