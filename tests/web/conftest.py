"""The web layer on a real database: a visitor's browser, the worker behind it, and what the tables hold."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, select
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from funnel import settings
from funnel.bucket import connect
from funnel.core.quiz import SKIP, Outcome, Result, score
from funnel.core.sequence import Funnel
from funnel.doors import Doors
from funnel.flow import admission
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.mail.outbox import Outbox
from funnel.runtime import Runtime
from funnel.store.db import open_engine, reading
from funnel.store.tables import metadata
from funnel.web.app import create_app
from funnel.web.visit import Visit
from tests.conftest import BASE_URL, Clock, make_tools, with_content
from tests.databases import Databases
from tests.robot import Page
from tests.world import ALICE, World

CONSENTS = {"sensitive": "yes", "course": "yes"}
# One visitor does what a whole town does.
UNLIMITED = {f"FUNNEL_{name}_RATE": "1000000/s" for name in ("VISITOR", "FORM", "USUAL")}
Dump = dict[str, list[tuple[Any, ...]]]


@dataclass
class Site:
    """One visitor at the service. Redirects are followed only by `land`."""

    app: Starlette
    client: TestClient
    world: World
    funnel: Funnel

    @property
    def slug(self) -> str:
        return self.funnel.slug

    @property
    def cookie(self) -> str:
        return f"__Host-{self.slug}"

    def at(self, path: str) -> str:
        return f"/{self.slug}/{path}"

    def other(self) -> "Site":
        """Somebody else's browser at the same service."""
        return dataclasses.replace(self, client=browser(self.app))

    def land(self, response: httpx2.Response) -> httpx2.Response:
        """Where a form leads."""
        assert response.status_code == 303, f"{response.status_code}: {response.text[:300]}"
        return self.client.get(response.headers["location"])

    def take_quiz(self, answers: dict[str, str]) -> httpx2.Response:
        """Starts, answers every question (those without an answer are skipped), and lands on the result."""
        shown = self.client.post(self.at("start"))
        for number, question in enumerate(self.funnel.quiz.questions, 1):
            shown = self.client.post(self.at(f"q/{number}"), data={"answer": answers.get(question.key, SKIP)})
        return self.land(shown)

    def sign_up(self, address: str, name: str = "", **more: str) -> httpx2.Response:
        """Sends the form, and the worker takes in what was asked."""
        answer = self.client.post(self.at("join"), data={"email": address, "first_name": name, **CONSENTS, **more})
        if answer.status_code == 303:
            admission.admit(self.world.tools, self.world.clock())
        return answer

    def apply(self, address: str = ALICE, pattern: str = "freeze") -> str:
        """From the first question to the path of the newest confirm link."""
        self.take_quiz(answers_for(self.funnel, pattern))
        self.land(self.sign_up(address))
        self.world.work()
        return self.link(address, "onfirm")

    def join(self, address: str = ALICE, pattern: str = "freeze") -> None:
        """Applies, confirms, and has the first lesson."""
        assert self.client.post(self.apply(address, pattern)).status_code == 200
        self.world.work()

    def link(self, address: str, words: str) -> str:
        """The path of a link in the newest mail to this address."""
        return self.world.mails(address)[-1].link(words).removeprefix(BASE_URL)

    def dump(self) -> Dump:
        """Every row of every table."""
        with reading(self.world.tools.engine) as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for table in metadata.sorted_tables
            }

    def page(self, path: str) -> Page:
        return Page(f"{BASE_URL}{path}", self.client.get(path).text)


class Browser(TestClient):
    """Sends the stamp that its pages show with each form, unless the form says otherwise."""

    def post(self, url: Any, *, data: Any = None, **more: Any) -> httpx2.Response:
        if "content" not in more and (data is None or isinstance(data, dict)):
            data = {**self.stamp(more.get("headers") or {}), **(data or {})}
        return super().post(url, data=data, **more)

    def stamp(self, headers: Mapping[str, Any] = MappingProxyType({})) -> dict[str, str]:
        """What a page shown to this browser now would hold; nothing for a cookie that is not ours."""
        site = self.app.state.site  # type: ignore[attr-defined]
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        told = headers.get("cookie", sent)
        kept = [(b"cookie", told if isinstance(told, bytes) else told.encode())]
        scope = {"type": "http", "headers": kept, "path_params": {"slug": "house"}, "method": "GET", "path": "/"}
        with contextlib.suppress(HTTPException):
            return {"form": Visit(site, Request(scope), {}, site.now_ms()).stamp()}
        return {}


def browser(app: Starlette, **more: Any) -> TestClient:
    return Browser(app, **{"base_url": BASE_URL, "follow_redirects": False, **more})


def operator(app: Starlette, host: str = "127.0.0.1", **more: Any) -> TestClient:
    """A browser on the service's own machine."""
    named = f"[{host}]" if ":" in host else host
    return browser(app, base_url=f"http://{named}", client=(host, 40000), **more)


def answers_for(funnel: Funnel, pattern: str) -> dict[str, str]:
    """The answers of somebody who clearly is of this pattern."""
    return {
        question.key: max(question.answers, key=lambda answer: answer.weights.get(pattern, 0)).key
        for question in funnel.quiz.questions
    }


def answers_leading_to(funnel: Funnel, outcome: Outcome) -> tuple[dict[str, str], Result]:
    """Some answers with this outcome."""
    if outcome == Outcome.TOO_FEW:
        found = dict(itertools.islice(answers_for(funnel, "freeze").items(), 2))
        return found, score(funnel.quiz, found)
    if outcome == Outcome.AT_EASE:
        found = {
            question.key: next(answer.key for answer in question.answers if answer.at_ease)
            for question in funnel.quiz.questions
            if any(answer.at_ease for answer in question.answers)
        }
        return found, score(funnel.quiz, found)
    for first, second in itertools.permutations(funnel.quiz.patterns, 2):
        one, two = answers_for(funnel, first), answers_for(funnel, second)
        for cut in range(1, len(one)):
            mixed = {key: (one if place < cut else two)[key] for place, key in enumerate(one)}
            result = score(funnel.quiz, mixed)
            if result.outcome == outcome and (result.secondary or outcome == Outcome.TOO_CLOSE):
                return mixed, result
    raise AssertionError(f"no answers lead to {outcome}")


@pytest.fixture(params=["sqlite"])
def published(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Engine]:
    """SQLite, unless a test asks for another kind."""
    made = open_engine(databases.fresh(request.param, with_content))
    yield made
    made.dispose()


@contextlib.contextmanager
def opened(tools: Tools, clock: Clock, home: Path, **env: str) -> Iterator[Site]:
    """The site with its outbox below `home`, one visitor, and a clock that the test moves."""
    found = settings.load({"FUNNEL_HOME": str(home), "FUNNEL_BASE_URL": BASE_URL, **UNLIMITED, **env})
    provider = Outbox(home / "outbox", tools.batch_size)
    redis = connect(found.redis_url or "redis://127.0.0.1:1")
    doors = Doors(redis, tools.keyring.tag_key, found.limits)
    app = create_app(Runtime(found, tools, provider, redis, doors))
    app.state.site = dataclasses.replace(app.state.site, now_ms=clock)
    with browser(app, base_url=found.base_url) as client:
        world = World(tools, clock, home / "outbox", provider)
        yield Site(app, client, world, world.funnel())


@pytest.fixture(scope="module")
def shared(databases: Databases, keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all the tests of a module that change nothing, or nothing that the others look at."""
    engine = open_engine(databases.fresh("sqlite", with_content))
    with opened(make_tools(engine, keyring), Clock(), tmp_path_factory.mktemp("shared")) as found:
        yield found
    engine.dispose()


@pytest.fixture
def site(tools: Tools, clock: Clock, tmp_path: Path) -> Iterator[Site]:
    with opened(tools, clock, tmp_path) as found:
        yield found
