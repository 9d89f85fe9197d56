"""Decides who may use the page's server: this machine, or a client with the token, but never another web
site.

Every site that is open in the same browser can reach a server on loopback. So the headers in which a browser
names the source of a request (Host, Origin, Sec-Fetch-Site) are checked before anything else. No site can
then spend money or read data.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

import attrs
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foxapi_async._client.api import MAX_UPLOAD_BYTES
from foxapi_async._http.credentials import is_loopback
from foxapi_async._listener import about, log
from foxapi_async.fastapi._body import MAX_BODY_BYTES

UPLOADS = "/uploads"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_READS = {"GET", "HEAD"}
# A form of another site cannot send these types.
_UPLOAD_TYPES = (
    "image/",
    "video/",
    "audio/",
    "application/pdf",
    "application/zip",
    "application/octet-stream",
)


@attrs.frozen(kw_only=True)
class Gate:
    """Decides who may use the page.

    Attributes:
        local: whether the server listens on loopback, and answers only to loopback names in the Host header.
        token: the token that every client needs; None if they need no token.
        cookie: the name of the cookie that replaces the token. All ports of a host share cookies, so the name has the
            port's number.
    """

    local: bool = True
    token: str | None = attrs.field(default=None, repr=False)
    cookie: str = "foxapi_page"

    @property
    def cookie_value(self) -> str:
        """The value of the cookie. It is not the token, because other servers on this host see the cookie."""
        return hashlib.sha256(f"foxapi serve\n{self.token}".encode()).hexdigest()

    def is_token(self, given: str | None) -> bool:
        """Whether this is the token, compared in constant time."""
        return self.token is not None and _equal(given, self.token)

    def admits(self, request: Request) -> bool:
        """Whether the client has sent the token or its cookie, or needs no token."""
        if self.token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        bearer = given.strip() if scheme.lower() == "bearer" else None
        return _equal(request.cookies.get(self.cookie), self.cookie_value) or self.is_token(bearer)


class Guard:
    """Refuses requests that are not allowed, and adds protecting headers to every answer.

    Args:
        app: the app behind the guard.
        gate: decides who may use the page.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _GuardedAnswer(scope, send)
        app = refusal(self._gate, Request(scope)) or self._app
        try:
            await app(scope, receive, answer.send)
        except Exception as bug:
            log.error(
                "%s %s: internal error: %r",
                scope["method"],
                scope["path"],
                bug,
                extra=about("internal_error"),
            )
            if not answer.begun:
                await _error(500, "internal", "Something went wrong here.")(scope, receive, answer.send)
        log.info("%s %s %s", scope["method"], scope["path"], answer.status, extra=about("request"))


class _GuardedAnswer:
    """One answer, with the headers that all answers have."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._scope = scope
        self.status = 0
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.begun = message["status"], True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


def refusal(gate: Gate, request: Request) -> Response | None:
    """The answer to a refused request; None if it is allowed."""
    if gate.local and not is_loopback(_host_of(request.headers.get("host", ""))):
        return _error(421, "wrong_host", "This server answers only to localhost and 127.0.0.1.")
    if _is_foreign(request):
        return _error(403, "cross_site", "Another web site may not use this server.")
    if request.url.path == "/" and "token" in request.query_params and request.method in _READS:
        return _exchange(gate, request.query_params["token"])
    if not gate.admits(request):
        return _error(401, "token", "Open the address with the token, as `foxapi serve` has printed it.")
    return None if request.method in _READS else _refuse_body(request)


def _is_foreign(request: Request) -> bool:
    """Whether the browser says that a page of another origin sends the request."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in {"same-origin", "none"}:
        return not _is_visit(request)
    origin = request.headers.get("origin")
    if origin is None:
        return site == "none" and request.method not in _READS
    return _place_of(origin) != request.headers.get("host", "").lower()


def _place_of(origin: str) -> str:
    """The host and port of an Origin header, as a Host header names them; empty if it is not valid."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_visit(request: Request) -> bool:
    """Whether a person follows a link to the page. The site with the link cannot read the answer."""
    wanted = request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")
    return request.method == "GET" and request.url.path == "/" and wanted == ("navigate", "document")


def _refuse_body(request: Request) -> Response | None:
    """Refuse a body that is too large or of unknown length, or of a type that any site's form can send."""
    upload = request.url.path == UPLOADS
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith(_UPLOAD_TYPES) if upload else kind == "application/json"):
        wanted = "an image or another input file" if upload else "JSON"
        return _error(415, "content_type", f"Send {wanted}, with its Content-Type.")
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return _error(411, "length", "Send the body with its Content-Length.")
    limit = MAX_UPLOAD_BYTES if upload else MAX_BODY_BYTES
    # A number with very many digits would be slow to read.
    if len(length) > len(str(limit)) or int(length) > limit:
        return _error(413, "too_large", f"At most {limit / 1e6:.0f} MB can be sent.")
    return None


def _exchange(gate: Gate, given: str) -> Response:
    """Set the cookie that replaces the token, and load the page at an address without the token.

    This uses a page and not a redirect: after a link on another site, the browser would not send a strict cookie.
    """
    if gate.token is not None and not gate.is_token(given):
        return _error(401, "token", "This is not the token that `foxapi serve` has printed.")
    response = HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>FoxAPI</title>'
        '<meta http-equiv="refresh" content="0;url=/"><p><a href="/">Continue to the page</a>'
    )
    if gate.token is not None:
        response.set_cookie(gate.cookie, gate.cookie_value, httponly=True, samesite="strict")
    return response


def _host_of(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _equal(given: str | None, wanted: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), wanted.encode())


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": message}}, status)
