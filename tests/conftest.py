"""Fixtures: real databases, the real funnel, and a clock that only tests move."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine

from funnel import content
from funnel.core.sequence import Funnel
from funnel.flow.publish import publish
from funnel.flow.tools import Cache, Tools
from funnel.keyring import Keyring
from funnel.mail.compile import Layouts, Template
from funnel.runtime import service_mails, spoken_service_mails
from funnel.store.db import migrate, open_engine
from tests.databases import Databases

ROOT = Path(__file__).resolve().parent.parent
NAME = "erotic-survival-pattern"
NOON_MS = 1_795_348_800_000  # Sunday 22 November 2026, 12:00 UTC
BASE_URL = "https://notes.example.org"
# Revisions never change, so all tests may share what was made of them.
FUNNELS: Cache[str, Funnel] = Cache(64)
TEMPLATES: Cache[tuple[str, str, str], Template] = Cache(2048)
LAYOUTS = Layouts(ROOT / "emails")
NOTICES = service_mails(ROOT)
SPOKEN_NOTICES = spoken_service_mails(ROOT)


@dataclass
class Clock:
    """Epoch milliseconds; moves only when told."""

    now_ms: int = NOON_MS

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> int:
        self.now_ms += int(((days * 24 + hours) * 3600 + seconds) * 1000)
        return self.now_ms


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command or a worker sets logging up for its whole process, which here is that of all tests."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    found = Databases(tmp_path_factory.mktemp("databases"))
    yield found
    found.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Engine]:
    """A fresh, migrated database of each kind."""
    made = open_engine(databases.fresh(request.param))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def funnel() -> Funnel:
    """The first funnel, as shipped."""
    return content.parse(NAME, content.read_folder(ROOT, NAME))


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring({1: bytes(range(32))})


@pytest.fixture(params=["sqlite", "postgresql"])
def published(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Engine]:
    """A fresh database of each kind that holds the shipped content."""
    made = open_engine(databases.fresh(request.param, with_content))
    yield made
    made.dispose()


@pytest.fixture
def tools(published: Engine, keyring: Keyring) -> Tools:
    """Everything the use cases need, with the shipped content published."""
    return make_tools(published, keyring)


def with_content(engine: Engine) -> None:
    """Migrates a database and publishes the shipped content at NOON_MS."""
    migrate(engine)
    publish(make_tools(engine, Keyring({1: bytes(32)})), ROOT, NOON_MS)


def make_tools(engine: Engine, keyring: Keyring) -> Tools:
    return Tools(engine, keyring, LAYOUTS, NOTICES, BASE_URL, SPOKEN_NOTICES, _funnels=FUNNELS, _templates=TEMPLATES)
