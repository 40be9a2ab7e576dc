"""The operator's pages: health, and the local outbox."""

import email
import hmac
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import cast

import redis
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from funnel.core.sequence import Funnel
from funnel.runtime import LAST_TICK
from funnel.settings import LOOPBACK
from funnel.store.db import is_current, reading
from funnel.web.visit import Visit

SHOWN = 500
# What a proxy on this machine adds that nobody told us of: whoever comes through it may be anybody.
PASSED_ON = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via")
FRAME_MAY = "allow-popups allow-top-navigation-by-user-activation"


def healthz(_visit: Visit) -> Response:
    return JSONResponse({"ok": True})


def readyz(visit: Visit) -> Response:
    """200 when database and Redis answer, else 503; with the age of the worker's last tick in milliseconds."""
    found = {"database": _database(visit), **redis_state(visit)}
    ready = found["database"] is True and found["redis"] is True
    return JSONResponse({"ok": ready, **found}, 200 if ready else 503)


def _database(visit: Visit) -> bool:
    try:
        with reading(visit.tools.engine) as connection:
            return is_current(connection)
    except Exception:  # noqa: BLE001 -- whatever is wrong with it, it is not ready
        return False


def redis_state(visit: Visit) -> dict[str, object]:
    """Whether Redis answers, and how old the worker's last tick is; None where it has none."""
    if not visit.site.settings.redis_url:
        return {"redis": False, "tick_age_ms": None}
    try:
        with redis.Redis.from_url(visit.site.settings.redis_url, socket_timeout=2, socket_connect_timeout=2) as client:
            last = cast(bytes | None, client.get(LAST_TICK))
    except (redis.RedisError, OSError):
        return {"redis": False, "tick_age_ms": None}
    return {"redis": True, "tick_age_ms": visit.now_ms - int(last) if last else None}


def outbox(visit: Visit) -> Response:
    folder = _outbox_folder(visit)
    paths = sorted(folder.glob("*.eml"), key=_written_ns, reverse=True)
    mails = [found for path in paths[:SHOWN] if (found := _summary(path))]
    return visit.page("outbox", funnel=_any_funnel(visit), mails=mails, more=max(len(paths) - SHOWN, 0))


def outbox_mail(visit: Visit) -> Response:
    message, name = _message(visit)
    text = message.get_body(("plain",))
    parts = _summary_of(message, name)
    return visit.page("outbox_mail", funnel=_any_funnel(visit), mail=parts, text=text.get_content() if text else "")


def outbox_html(visit: Visit) -> Response:
    """The HTML part alone, for the frame: sandboxed, so that nothing in it runs or submits."""
    message, _ = _message(visit)
    html = message.get_body(("html",))
    policy = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox {FRAME_MAY}"
    text = html.get_content().replace("<head>", '<head><base target="_top">', 1) if html else ""
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})


def only_operators(visit: Visit) -> None:
    """Raises 404 for all but this machine and whoever has the token."""
    token, client = visit.site.settings.token, visit.request.client
    given = visit.request.headers.get("authorization", "").removeprefix("Bearer ")
    known = token is not None and hmac.compare_digest(given.encode(), token.encode())
    # Both ends: a name that somebody points at this machine (DNS rebinding) is not this machine.
    here = client is not None and client.host in LOOPBACK and visit.request.url.hostname in LOOPBACK
    here = here and not any(name in visit.request.headers for name in PASSED_ON)
    if not known and not here:
        raise HTTPException(404)


def _outbox_folder(visit: Visit) -> Path:
    """Only with the outbox provider, and only for operators."""
    settings = visit.site.settings
    if settings.mail != "outbox":
        raise HTTPException(404)
    only_operators(visit)
    return settings.home / "outbox"


def _message(visit: Visit) -> tuple[EmailMessage, str]:
    name = visit.request.path_params["name"]
    path = next((path for path in _outbox_folder(visit).glob("*.eml") if path.stem == name), None)
    message = _read(path) if path else None
    if message is None:
        raise HTTPException(404)
    return message, name


def _summary(path: Path) -> dict[str, str] | None:
    message = _read(path)
    return _summary_of(message, path.stem) if message else None


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(path: Path) -> EmailMessage | None:
    """None for a mail whose reader has been erased this very moment."""
    try:
        return email.message_from_bytes(path.read_bytes(), policy=SMTP)
    except FileNotFoundError:
        return None


def _summary_of(message: EmailMessage, name: str) -> dict[str, str]:
    sent = datetime.strptime(str(message["Date"]), "%a, %d %b %Y %H:%M:%S %z").astimezone(UTC)
    shown = ("Subject", "From", "To")
    return {"name": name, "sent": f"{sent:%d %b %Y, %H:%M:%S} UTC", **{key.lower(): str(message[key]) for key in shown}}


def _any_funnel(visit: Visit) -> Funnel:
    return next(iter(visit.funnels.values()))[1]
