"""What the use cases work with. Wired in funnel/runtime.py; nothing here reads the environment or a clock."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine

from funnel import content
from funnel.core.delivery import Unknowns
from funnel.core.lesson import Source
from funnel.core.locale import language
from funnel.core.pace import Pace, Unpaced
from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.core.sequence import Funnel
from funnel.flow.entrance import AnyDomain, Exchanges
from funnel.flow.holding import Breaker
from funnel.flow.watch import Marks, NoMarks
from funnel.keyring import Keyring
from funnel.mail.compile import Layouts, Template
from funnel.store import revisions

_K = TypeVar("_K")
_V = TypeVar("_V")


class Cache(Generic[_K, _V]):
    """Keeps the `size` values used last. Two threads that miss at once both compute; the later one stays."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[_K, _V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: _K, make: Callable[[], _V]) -> _V:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            self._held[key] = made
            if len(self._held) > self._size:
                self._held.popitem(last=False)
        return made


@dataclass(frozen=True)
class Patience:
    """How long a doubt may last, in milliseconds: until silence is evidence, and until it counts as sent anyway."""

    silence_ms: int = 6 * HOUR_MS
    doubt_ms: int = 72 * HOUR_MS


@dataclass(frozen=True)
class Tools:
    """`notices` are the service mails by kind, `spoken_notices` their translations by kind and language; `unknowns` and
    `breaker` are of the provider in use; `may_mail` tells whether a domain gets another confirm mail now."""

    engine: Engine
    keyring: Keyring
    layouts: Layouts
    notices: Mapping[str, Source]
    base_url: str
    spoken_notices: Mapping[tuple[str, str], Source] = field(default_factory=dict)
    day_ms: int = DAY_MS
    lease_ms: int = 15_000
    batch_size: int = 200
    unknowns: Unknowns = Unknowns.REPEAT
    patience: Patience = Patience()
    pace: Pace = field(default_factory=Unpaced)
    marks: Marks = field(default_factory=NoMarks)
    breaker: Breaker = field(default_factory=lambda: Breaker("outbox"))
    may_mail: Callable[[str, int], bool] = lambda _domain, _now_ms: True
    exchanges: Exchanges = field(default_factory=AnyDomain)
    _funnels: Cache[str, Funnel] = field(default_factory=lambda: Cache(64))
    _templates: Cache[tuple[str, str, str], Template] = field(default_factory=lambda: Cache(2048))
    _lesson_keys: Cache[int, str] = field(default_factory=lambda: Cache(10_000))

    @property
    def provider(self) -> str:
        return self.breaker.provider

    @property
    def real_time(self) -> bool:
        """Whether a course day is a day: a demonstration knows no volumes."""
        return self.day_ms == DAY_MS

    def notice(self, kind: str, locale: str) -> Source:
        """The service mail of this kind in a language, where it is translated."""
        return self.spoken_notices.get((kind, language(locale)), self.notices[kind])

    def notice_segment(self, kind: str, locale: str) -> str:
        """What a batch of these service mails is called: its kind, and its language where there is a translation."""
        return f"{kind},locale={locale}" if (kind, language(locale)) in self.spoken_notices else kind

    def funnel(self, connection: Connection, revision_id: str) -> Funnel:
        """The funnel as it stood in a revision. Raises LookupError when there is no such revision."""

        def load() -> Funnel:
            found = revisions.files(connection, revision_id)
            if not found:
                raise LookupError("no such revision")
            return content.parse(*found)

        return self._funnels.get(revision_id, load)

    def current(self, connection: Connection) -> dict[str, tuple[str, Funnel]]:
        """funnel name → (revision id, funnel), as published now."""
        return {name: (id_, self.funnel(connection, id_)) for name, id_ in revisions.current(connection).items()}

    def template(self, revision_id: str, mail: str, segment: str, make: Callable[[], Template]) -> Template:
        """The mail of this name as compiled for a segment, made once."""
        return self._templates.get((revision_id, mail, segment), make)

    def lesson_key(self, connection: Connection, lesson_id: int) -> str:
        """The key behind a lesson's number, which never changes."""
        return self._lesson_keys.get(lesson_id, lambda: revisions.lesson_key(connection, lesson_id))
