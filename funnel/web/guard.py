"""Middleware: how large a request may be, whose forms we accept, and the headers that every answer carries."""

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 64 * 1024
# Doors for other programs: no browser's forms, and guarded by a signature. Path → the largest body.
SIGNED = {"/hooks/sendgrid": 2_000_000}
FOREVER = "public, max-age=31536000, immutable"  # the addresses of static files change with their content
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class TooLarge(Exception):
    """The body is larger than may be."""


class Guard:
    """`broken(request, error)` answers for a fault of ours, so that even that answer carries the headers."""

    def __init__(self, app: ASGIApp, *, secure: bool, broken: Callable[[Request, Exception], Response]) -> None:
        self.app = app
        self.secure = secure
        self.broken = broken

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
        scope["refused"] = _refusal(scope, Headers(scope=scope), largest)
        try:
            await self.app(scope, _bounded(receive, largest), sending)
        except Exception as error:
            if started:
                raise
            await self.broken(Request(scope), error)(scope, receive, sending)

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


def _bounded(receive: Receive, largest: int) -> Receive:
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > largest:
            raise TooLarge
        return message

    return receiving
