"""The composition root: settings become the parts that everything works with. The only place that wires."""

import contextlib
import ctypes
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from funnel import bucket, content, keyfile
from funnel.core.lesson import NOTICE_FIELDS, READY_FIELDS, Source
from funnel.core.notice import READY
from funnel.doors import TIMEOUT_S, Doors
from funnel.flow.entrance import AnyDomain
from funnel.flow.holding import Breaker
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, KeyringError, new_key
from funnel.mail.compile import Layouts
from funnel.mail.outbox import Outbox
from funnel.mail.provider import Provider
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from funnel.settings import ROOT, Settings
from funnel.store.db import now_ms as database_now_ms
from funnel.store.db import open_engine, reading

if TYPE_CHECKING:
    from funnel.exchanges import Exchanges
    from funnel.mail.erasing import Forgets
    from funnel.mail.suppressions import Suppressions

_Name = TypeVar("_Name")
NOTICES = ("confirm", "already", "rights", "address", READY)
LARGEST_SKEW_MS = 2_000  # of a clock by which work may be taken
LAST_TICK = "funnel:last-tick"  # the key in Redis under which the worker says that it lives
_ARENAS = -8  # M_ARENA_MAX of <malloc.h>
NUDGE = "funnel:nudge"  # the channel in Redis on which the web process says that somebody is waiting


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    tools: Tools
    provider: Provider
    redis: Redis
    doors: Doors = field(default_factory=Doors)

    @staticmethod
    def now_ms() -> int:
        """The clock. Read once per request or job, and passed down."""
        return time.time_ns() // 1_000_000

    def skew_ms(self, now_ms: int) -> int:
        """How far this machine's clock is from the database's, by which all workers judge each other's leases."""
        with reading(self.tools.engine) as connection:
            return abs(database_now_ms(connection) - now_ms)

    def suppressions(self) -> "Suppressions":
        """The provider's suppression lists; only SendGrid keeps any."""
        from funnel.mail.suppressions import Suppressions  # loads SendGrid's SDK: slow, and seldom of use

        return Suppressions(self.settings.sendgrid_key, self.settings.sendgrid_url)

    def others(self) -> "Forgets":
        """Wherever mail goes from here, and something of its recipients may stay."""
        from funnel.mail import erasing

        places: list[Forgets] = [erasing.OutboxFiles(self.settings.home / "outbox")]
        if self.settings.sendgrid_key:
            places.append(erasing.SendGridRecipients(self.settings.sendgrid_key, self.settings.sendgrid_url))
        return erasing.All(places)

    def nudge(self) -> None:
        """Tells the workers not to wait for their next tick. Without Redis they find out a second later."""
        with contextlib.suppress(RedisError, OSError):
            self.redis.publish(NUDGE, b"")

    def close(self) -> None:
        self.provider.close()
        self.redis.close()
        self.doors.close()
        self.tools.exchanges.close()
        self.tools.engine.dispose()


def settle_down() -> None:
    """For a process that has loaded everything: memory is set up for years of short-lived objects by the thousand.

    What is there by now stays: left alone, the garbage collector looks at it again and again, a quarter of a worker's
    time.
    """
    with contextlib.suppress(OSError, AttributeError):  # where it is not glibc's
        # A heap for every thread would keep each thread's largest batch for good.
        ctypes.CDLL(None).mallopt(_ARENAS, 1)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def assemble(settings: Settings) -> Runtime:
    """Everything, ready to use. Raises KeyringError or ContentError when a part cannot be."""
    settings.home.mkdir(parents=True, exist_ok=True)
    provider = provider_of(settings)
    keyring = _keyring(settings)
    redis_url = settings.redis_url or "redis://127.0.0.1:6379"
    redis = bucket.connect(redis_url)
    doors = Doors(bucket.connect(redis_url, TIMEOUT_S), keyring.tag_key, settings.limits)
    tools = Tools(
        engine=open_engine(settings.database_url),
        keyring=keyring,
        layouts=Layouts(settings.content / "emails", ROOT / "emails"),
        notices=service_mails(settings.content),
        spoken_notices=spoken_service_mails(settings.content),
        base_url=settings.base_url,
        day_ms=settings.day_ms,
        lease_ms=settings.lease_ms,
        batch_size=provider.batch_size,
        unknowns=provider.unknowns,
        pace=bucket.pace(redis, keyring.tag_key, settings.rate, settings.domain_rates, settings.warm_up_ms),
        marks=bucket.Marks(redis),
        breaker=Breaker(provider.name),
        may_mail=doors.may_mail,
        exchanges=_exchanges() if settings.mx else AnyDomain(),
    )
    return Runtime(settings, tools, provider, redis, doors)


def drafting(settings: Settings, root: Path) -> Tools:
    """What content is looked at with before anybody gets it: keys that open nothing, and a database for old revisions.

    Nothing is connected to, and nothing written. Raises ContentError for service mails that cannot be used.
    """
    return Tools(
        engine=open_engine(settings.database_url),
        keyring=Keyring({1: new_key()}),
        layouts=Layouts(root / "emails", ROOT / "emails"),
        notices=service_mails(root),
        spoken_notices=spoken_service_mails(root),
        base_url=settings.base_url,
    )


def _exchanges() -> "Exchanges":
    from funnel.exchanges import Exchanges  # large, and not needed where mail stays on this machine

    return Exchanges()


def _keyring(settings: Settings) -> Keyring:
    """From the setting, or the file below `home`. A lost file is never replaced: what it sealed would be lost."""
    path = settings.keyring
    if not settings.keys and not path.exists() and (settings.home / "funnel.db").exists():
        raise KeyringError(f"{path} is missing, and the database beside it needs it: put it back, or set FUNNEL_KEYS")
    return Keyring.parse(settings.keys) if settings.keys else keyfile.read_or_make(path)


def provider_of(settings: Settings) -> Provider:
    """The way to send mail that the settings name."""
    if settings.mail == "outbox":
        return Outbox(settings.home / "outbox", settings.batch_size)
    if settings.mail == "sendgrid":
        return SendGrid(settings.sendgrid_key, settings.sendgrid_url, settings.batch_size)
    return Smtp(settings.mail, connections=settings.smtp_connections)


def service_mails(root: Path) -> dict[str, Source]:
    """The service mails by kind, from `root` or else our own. Raises ContentError with every problem of all of them."""
    return _mails({kind: (kind, _place(root, kind), f"emails/service/{kind}.md") for kind in NOTICES})


def spoken_service_mails(root: Path) -> dict[tuple[str, str], Source]:
    """Their translations by kind and language. Whoever writes an own mail writes its translations, too."""
    return _mails(
        {
            (kind, path.suffixes[0].removeprefix(".")): (kind, _place(root, kind), f"emails/service/{path.name}")
            for kind in NOTICES
            for path in sorted((_place(root, kind) / "emails/service").glob(f"{kind}.*.md"))
        }
    )


def _place(root: Path, kind: str) -> Path:
    return root if (root / f"emails/service/{kind}.md").is_file() else ROOT


def _mails(wanted: Mapping[_Name, tuple[str, Path, str]]) -> dict[_Name, Source]:
    found, problems = {}, []
    for name, (kind, place, path) in wanted.items():
        fields = READY_FIELDS if kind == READY else NOTICE_FIELDS
        try:
            found[name] = content.parse_mail(path, {path: (place / path).read_bytes()}, fields)
        except content.ContentError as error:
            problems += error.problems
    if problems:
        raise content.ContentError(problems)
    return found
