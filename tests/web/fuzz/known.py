"""What a fuzzer knows of a service: the application's own table of routes, and what really opens them."""

import re
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import TypeVar
from urllib.parse import urlsplit

from starlette.routing import Mount, Route

from funnel.web.app import routes
from funnel.web.pages import STATIC
from funnel.web.rights import ACTS, ASKABLE
from tests.robot import Mail, Page

LINK = re.compile(r"https?://[^/\s]+/([a-z])/([A-Za-z0-9_-]{16,})")
MOST = 400  # of each kind are kept: the newest
NOBODYS = "A" * 32
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A route: its path as the table has it, and the methods that it answers to."""

    path: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Filled:
    """A form as a page offered it, with the cookies of the browser that saw it."""

    path: str
    fields: Mapping[str, str]
    cookies: str


@cache
def targets() -> list[Target]:
    """Every route of the application. Raises AssertionError for a kind of route that nobody here knows."""
    found = []
    for route in routes():
        assert isinstance(route, Mount | Route), "a new kind of route: teach the fuzzer"
        if isinstance(route, Mount):
            found.append(Target(f"{route.path}/{{file}}", ("GET", "HEAD")))
        else:
            found.append(Target(route.path, tuple(sorted(route.methods or ()))))
    return found


def _few() -> deque[str]:
    return deque(maxlen=MOST)


@dataclass
class Known:
    """`signed` makes the headers of a provider's request from its body.

    `tokens` is the first part of a path → tokens; `forms` a route → forms that go there.
    """

    host: str
    slugs: Sequence[str]
    cookie: str
    signed: Callable[[bytes], Mapping[str, str]]
    tokens: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(_few))
    cookies: deque[str] = field(default_factory=_few)
    forms: dict[str, deque[Filled]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=MOST)))
    mails: deque[str] = field(default_factory=_few)
    batches: deque[str] = field(default_factory=_few)
    events: Sequence[str] = ("cooked", "swap")

    def read(self, mail: Mail) -> None:
        """Keeps the links of a mail."""
        self.mails.append(mail.path.stem)
        for use, token in LINK.findall(mail.text):
            self.tokens[use].append(token)

    def see(self, page: Page, cookies: str) -> None:
        """Keeps the forms of a page, by the route that they go to, once for each button and choice."""
        self.cookies.append(cookies)
        for form in page.forms:
            path = urlsplit(form.action).path
            route = route_of(path)
            if form.method != "post" or route is None:
                continue
            chosen = [each for each in form.controls if each.kind in ("button", "radio")]
            rest = {each.name: each.value for each in form.controls if each.name and each not in chosen}
            for each in chosen:
                more = {each.name: each.value} if each.name else {}
                self.forms[route].append(Filled(path, {**rest, **more}, cookies))


def route_of(path: str) -> str | None:
    """The first route of the table that this path is for."""
    parts = path.split("/")
    for target in targets():
        wanted = target.path.split("/")
        if len(wanted) == len(parts) and all(
            one == other or one.startswith("{") for one, other in zip(wanted, parts, strict=True)
        ):
            return target.path
    return None


def fill(rng: Random, known: Known, path: str) -> list[str]:
    """The parts of a path with something real for each parameter. Raises KeyError for one that nobody here knows."""
    first, use = path.split("/")[1], rng.choice(ASKABLE)
    kind = str(use) if first == "data" else first
    supply: dict[str, Sequence[str]] = {
        **{"token": known.tokens[kind] or [NOBODYS], "use": [use], "slug": known.slugs, "act": list(ACTS)},
        **{"event": known.events, "number": [str(number) for number in range(1, 12)], "name": known.mails or ["x"]},
        "file": sorted(file.name for file in STATIC.iterdir()),
    }
    parts = path.split("/")[1:]
    return [str(some(rng, supply[part[1:-1]])) if part.startswith("{") else part for part in parts]


def some(rng: Random, found: Sequence[T]) -> T:
    """Any of these, or one of the newest: what was given out long ago has often been used up."""
    return found[-1 - rng.randrange(min(len(found), 8))] if rng.randrange(2) else rng.choice(found)
