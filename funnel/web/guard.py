"""Middleware: who is at the other end, how large and how slow a request may be, whose forms we accept, and the headers
that every answer carries."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from funnel.core.network import DIRECT, Proxies, hops, is_here
from funnel.settings import LOOPBACK

LARGEST_BODY = 64 * 1024
LONGEST_BODY_S = 15.0  # for the whole of a body, however it trickles
# Doors for other programs: no browser's forms, and guarded by a signature. Path → the largest body.
SIGNED = {"/hooks/sendgrid": 2_000_000}
# What platforms and operators ask from inside, by whatever name.
INSIDE = ("/healthz", "/readyz", "/metrics")
FOREVER = "public, max-age=31536000, immutable"  # the addresses of static files change with their content
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; frame-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Unbearable(Exception):
    """A body that is larger or slower than may be; `status` says which."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Guard:
    """`broken(request, error)` answers for a fault of ours, so that even that answer carries the headers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        secure: bool,
        broken: Callable[[Request, Exception], Response],
        proxies: Proxies = DIRECT,
        host_name: str | None = None,
    ) -> None:
        self.app = app
        self.secure = secure
        self.broken = broken
        self.proxies = proxies
        self.host_name = host_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        sending = self._with_headers(scope, noting)
        largest = SIGNED.get(scope["path"], LARGEST_BODY)
        headers = Headers(scope=scope)
        scope["refused"] = self._misdirected(scope, headers) or _refusal(scope, headers, largest)
        if self.proxies and scope["client"]:
            peer, port = scope["client"]
            scope["client"] = self.proxies.client(peer, hops(headers.getlist("x-forwarded-for"))), port
        try:
            await self.app(scope, _bounded(receive, largest, LONGEST_BODY_S), sending)
        except Exception as error:
            if started:
                raise
            await self.broken(Request(scope), error)(scope, receive, sending)

    def _misdirected(self, scope: Scope, headers: Headers) -> int | None:
        """421 for who calls us by a name that is not ours. This machine's owner may call it what it is."""
        name = _host_name(headers.get("host", ""))
        here = name in LOOPBACK and is_here((scope["client"] or ("",))[0])
        known = self.host_name in (None, name) or scope["path"] in (*INSIDE, *SIGNED)
        return None if known or here else 421

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        kept = FOREVER if scope["path"].startswith("/static/") and scope["query_string"] else "no-store"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
                headers["Cache-Control"] = kept if message["status"] == 200 else "no-store"
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), browsing-topics=()"
                if message["status"] == 408:
                    headers["Connection"] = "close"
                if self.secure:
                    headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
            await send(message)

        return sending


def _refusal(scope: Scope, headers: Headers, largest: int) -> int | None:
    """The status with which a request is refused before anybody reads it."""
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        return 400
    if len(length) > 12 or int(length) > largest:
        return 413
    if scope["method"] == "POST" and scope["path"] not in SIGNED and not _same_origin(headers):
        return 403
    return None


def _same_origin(headers: Headers) -> bool:
    """Whether a form comes from our own pages. Mail clients' one-click requests say nothing of where they come from."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    # "null" is what browsers send under no-referrer for some posts; Sec-Fetch-Site, checked above, tells those apart.
    if origin in (None, "null"):
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _bounded(receive: Receive, largest: int, longest_s: float) -> Receive:
    seen, until_s, whole = 0, asyncio.get_running_loop().time() + longest_s, False

    async def receiving() -> Message:
        nonlocal seen, whole
        try:
            async with asyncio.timeout_at(None if whole else until_s):
                message = await receive()
        except TimeoutError:
            raise Unbearable(408) from None
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > largest:
            raise Unbearable(413)
        return message

    return receiving
