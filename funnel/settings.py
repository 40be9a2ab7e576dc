"""Settings. The only place that reads the environment."""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from funnel.core.limits import USUAL_LIMITS, FormLimits
from funnel.core.network import DIRECT, Proxies, parse_proxies
from funnel.core.pace import MINUTE_MS, Rate, parse_domain_rates, parse_rate
from funnel.core.retention import parse_retention, periods_ms
from funnel.core.schedule import DAY_MS, HOUR_MS

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DATABASES = frozenset({"sqlite", "postgres", "postgresql", "postgresql+psycopg"})
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": HOUR_MS}
_T = TypeVar("_T")


class SettingsError(ValueError):
    """A setting is missing or malformed. The message names it, says what to do, and holds no value."""


@dataclass(frozen=True)
class Settings:
    """Durations are in milliseconds. Secrets are left out of repr by never being logged: log no Settings.

    `rate` limits all mail, `domain_rates` that to each domain; `warm_up_ms` is when the sender's first day began (UTC).
    `webhook_key` is the provider's public key, base64 of DER; empty: its events are not taken. `host_name` is the only
    name that visitors may know us by, where the operator gave one; `mx`: whether domains are asked if they take mail.
    """

    home: Path
    content: Path
    database_url: str
    redis_url: str | None
    host: str
    port: int
    base_url: str
    keys: str | None
    mail: str
    sendgrid_key: str
    sendgrid_url: str
    webhook_key: str
    smtp_connections: int
    batch_size: int
    rate: Rate | None
    domain_rates: Mapping[str, Rate]
    warm_up_ms: int | None
    day_ms: int
    lease_ms: int
    retention_ms: Mapping[str, int]
    metrics_port: int | None
    token: str | None
    author: str
    host_name: str | None = None
    proxies: Proxies = DIRECT
    limits: FormLimits = USUAL_LIMITS
    mx: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the database is our own file below `home`."""
        return self.database_url.startswith("sqlite")

    @property
    def keyring(self) -> Path:
        """The file that stands in for `keys` where they are not set."""
        return self.home / "keyring"

    @property
    def secure(self) -> bool:
        return self.base_url.startswith("https://")

    @property
    def local_mail(self) -> bool:
        """Whether mail goes no further than this machine."""
        if self.mail == "outbox":
            return True
        return urlsplit(self.sendgrid_url if self.mail == "sendgrid" else self.mail).hostname in LOOPBACK


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `env`. Raises SettingsError."""
    home = Path(env.get("FUNNEL_HOME") or "var").absolute()
    port = _number(env, "PORT", 8000, 1, 65535)
    settings = Settings(
        home=home,
        content=Path(env.get("FUNNEL_CONTENT") or ROOT).absolute(),
        database_url=env.get("DATABASE_URL") or f"sqlite:///{home / 'funnel.db'}",
        redis_url=env.get("REDIS_URL") or None,
        host=env.get("FUNNEL_HOST") or ("0.0.0.0" if env.get("DATABASE_URL") else "127.0.0.1"),  # noqa: S104
        port=port,
        base_url=(env.get("FUNNEL_BASE_URL") or f"http://127.0.0.1:{port}").rstrip("/"),
        keys=env.get("FUNNEL_KEYS") or None,
        mail=env.get("FUNNEL_MAIL") or "outbox",
        sendgrid_key=env.get("SENDGRID_API_KEY") or "",
        sendgrid_url=(env.get("SENDGRID_API_URL") or "https://api.sendgrid.com").rstrip("/"),
        webhook_key=(env.get("SENDGRID_WEBHOOK_KEY") or "").strip(),
        smtp_connections=_number(env, "FUNNEL_SMTP_CONNECTIONS", 4, 1, 16),
        batch_size=_number(env, "FUNNEL_BATCH", 200, 1, 1000),
        rate=_parsed(env, "FUNNEL_RATE", parse_rate),
        domain_rates=_parsed(env, "FUNNEL_DOMAIN_RATES", parse_domain_rates) or {},
        warm_up_ms=_parsed(env, "FUNNEL_WARMUP", _midnight_ms),
        day_ms=_duration(env, "FUNNEL_DAY", DAY_MS),
        lease_ms=_duration(env, "FUNNEL_LEASE", 15_000),
        retention_ms=periods_ms(_parsed(env, "FUNNEL_RETENTION", parse_retention) or {}),
        metrics_port=_number(env, "FUNNEL_METRICS_PORT", 0, 1, 65535) if env.get("FUNNEL_METRICS_PORT") else None,
        token=env.get("FUNNEL_TOKEN") or None,
        author=env.get("FUNNEL_AUTHOR") or "",
        proxies=_parsed(env, "FUNNEL_PROXIES", parse_proxies) or DIRECT,
    )
    _check(settings, env)
    return replace(
        settings,
        host_name=urlsplit(settings.base_url).hostname if env.get("FUNNEL_BASE_URL") else None,
        limits=_limits(env, local=settings.local_mail),
        mx=_switch(env, "FUNNEL_MX", default=not settings.local_mail),
    )


def _limits(env: Mapping[str, str], *, local: bool) -> FormLimits:
    """Where mail leaves this machine, a crowd is one sooner, and strangers could be bothered."""
    usual = Rate(60, MINUTE_MS) if local else USUAL_LIMITS.usual
    domain = Rate(1_000, 1_000) if local else USUAL_LIMITS.domain
    return FormLimits(
        _parsed(env, "FUNNEL_VISITOR_RATE", parse_rate) or USUAL_LIMITS.visitor,
        _parsed(env, "FUNNEL_FORM_RATE", parse_rate) or USUAL_LIMITS.all,
        _parsed(env, "FUNNEL_USUAL_RATE", parse_rate) or usual,
        _parsed(env, "FUNNEL_CONFIRM_RATE", parse_rate) or domain,
    )


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = env.get(name) or ("on" if default else "off")
    if text not in ("on", "off"):
        raise SettingsError(f"{name} must be on or off")
    return text == "on"


def _check(settings: Settings, env: Mapping[str, str]) -> None:
    smtp = settings.mail.startswith("smtp:")
    if settings.mail not in ("outbox", "sendgrid") and not smtp:
        raise SettingsError("FUNNEL_MAIL must be outbox, smtp://user:password@host:port or sendgrid")
    if smtp and not _is_smtp(settings.mail):
        raise SettingsError("FUNNEL_MAIL must be smtp://user:password@host:port, with a user and password in ASCII")
    if settings.mail == "sendgrid" and not settings.sendgrid_key:
        raise SettingsError("FUNNEL_MAIL=sendgrid needs SENDGRID_API_KEY")
    if not (settings.sendgrid_key.isascii() and settings.sendgrid_key.isprintable()) and settings.sendgrid_key:
        raise SettingsError("SENDGRID_API_KEY holds characters that no key has; copy it again")
    if settings.webhook_key and not _is_webhook_key(settings.webhook_key):
        raise SettingsError(
            "SENDGRID_WEBHOOK_KEY must be the verification key that SendGrid shows for its event webhook"
        )
    for name, url in (("FUNNEL_BASE_URL", settings.base_url), ("SENDGRID_API_URL", settings.sendgrid_url)):
        if not _is_web_address(url):
            raise SettingsError(f"{name} must be a web address like https://notes.example.org")
    if settings.database_url.partition(":")[0] not in DATABASES:
        raise SettingsError("DATABASE_URL must be postgresql://user:password@host/name or sqlite:///path")
    for name in ("FUNNEL_MAIL", "FUNNEL_KEYS"):
        if env.get("DATABASE_URL") and not env.get(name):
            raise SettingsError(f"with DATABASE_URL set, {name} is required: a disk that vanishes must hold nothing")
    if settings.day_ms != DAY_MS and not settings.local_mail:
        raise SettingsError("FUNNEL_DAY is for demonstrations: it works only with a mail provider on this machine")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_smtp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = (parts.hostname, parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return all(known) and unquote(f"{parts.username}{parts.password}").isascii()


def _is_webhook_key(text: str) -> bool:
    """Whether `text` is base64 of an ECDSA public key on the curve P-256."""
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)


def _midnight_ms(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        raise ValueError("must be a date like 2026-11-22: the sender's first day") from None


def _parsed(env: Mapping[str, str], name: str, parse: Callable[[str], _T]) -> _T | None:
    """What `parse` makes of a setting; its ValueErrors say what to write. None when it is not set."""
    text = (env.get(name) or "").strip()
    try:
        return parse(text) if text else None
    except ValueError as error:
        raise SettingsError(f"{name} {error}") from None


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _duration(env: Mapping[str, str], name: str, default_ms: int) -> int:
    text = env.get(name)
    if not text:
        return default_ms
    found = re.fullmatch(r"([0-9]{1,6})(ms|s|m|h)", text)
    if not found or not int(found[1]):
        raise SettingsError(f"{name} must be a duration like 2s, 15m or 24h")
    return int(found[1]) * _UNITS_MS[found[2]]
