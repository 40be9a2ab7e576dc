"""Whether the sign-up form tells who is known; `make enumeration` measures it.

Sign-ups for addresses in every state arrive in random order, in process, on a real SQLite. Simple classifiers then try
to tell each state from an address that nobody knows, by time and by bytes; a coin does as well.
"""

import asyncio
import random
import statistics
import sys
import tempfile
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlencode

import click
from starlette.types import Message

from funnel.keyring import Keyring
from funnel.store.db import open_engine
from tests.conftest import Clock, make_tools, with_content
from tests.databases import Databases
from tests.web.conftest import CONSENTS, Site, answers_for, opened
from tests.web.everybody import PEOPLE, invite
from tests.web.shape import unstamped

STATES = ("new", "pending", "active", "unsubscribed", "suppressed", "complained", "erased")
SAMPLES = 2_000
WARM_UP = 200
MAY_DIFFER = 0.03
NEIGHBORS = 25


@dataclass(frozen=True)
class Sample:
    """A sign-up and the page after it: nanoseconds of each, and all that was answered but for cookies and stamps."""

    state: str
    took: tuple[int, int]
    said: str


class Stranger:
    """A browser with a result, without the machinery of a test client: it only measures."""

    def __init__(self, site: Site) -> None:
        site.take_quiz(answers_for(site.funnel, "freeze"))
        self._site = site
        kept = "; ".join(f"{name}={value}" for name, value in site.client.cookies.items())
        self._headers = [(b"host", b"notes.example.org"), (b"cookie", kept.encode())]
        self._stamp = site.client.stamp()["form"]  # type: ignore[attr-defined]

    async def sample(self, state: str) -> Sample:
        address = PEOPLE[state]
        form = urlencode({"email": address, "form": self._stamp, **CONSENTS}).encode()
        kind = [(b"content-type", b"application/x-www-form-urlencoded")]
        first, signed = await self._ask("POST", "join", form, self._headers + kind)
        cookie = next(value for name, value in signed[0]["headers"] if name == b"set-cookie").partition(b";")[0]
        second, landed = await self._ask("GET", "inbox", b"", [self._headers[0], (b"cookie", cookie)])
        return Sample(state, (first, second), _said(signed, address) + _said(landed, address))

    async def _ask(
        self, method: str, path: str, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> tuple[int, list[Message]]:
        answered: list[Message] = []
        whole = self._site.at(path)
        scope: dict[str, Any] = {"type": "http", "method": method, "path": whole, "raw_path": whole.encode()}
        scope |= {"query_string": b"", "headers": headers, "client": ("203.0.113.7", 1), "server": ("test", 443)}
        scope |= {"scheme": "https", "http_version": "1.1", "root_path": "", "app": self._site.app}

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answered.append(message)

        began = perf_counter_ns()
        await self._site.app(scope, receive, send)
        return perf_counter_ns() - began, answered


def _said(answered: list[Message], address: str) -> str:
    head = [(name, value) for name, value in answered[0]["headers"] if name != b"set-cookie"]
    body = b"".join(message.get("body", b"") for message in answered[1:]).decode()
    return f"{answered[0]['status']} {head} {unstamped(body)}".replace(address, "ADDRESS")


async def gather(site: Site, each: int, warm_up: int = 0) -> list[Sample]:
    """So many samples of each state, in random order."""
    stranger, draw = Stranger(site), random.Random(7)
    order = [state for state in STATES for _ in range(each)]
    draw.shuffle(order)
    for state in order[:warm_up]:
        await stranger.sample(state)
    return [await stranger.sample(state) for state in order]


def by_threshold(train: Sequence[tuple[float, bool]], test: Sequence[tuple[float, bool]]) -> int:
    """How many of `test` the threshold tells right that does best on `train`, whichever side is whose."""
    ranked = sorted(train)
    known = sum(label for _, label in ranked)
    best, cut, above = 0, 0.0, True
    left = 0
    for place, (value, label) in enumerate(ranked, 1):
        left += label
        right = place - left + known - left  # unknown ones up to here, and known ones beyond
        for found, side in ((right, True), (len(ranked) - right, False)):
            if found > best:
                best, cut, above = found, value, side
    return sum(((value > cut) == above) == label for value, label in test)


def by_neighbors(train: Sequence[tuple[float, bool]], test: Sequence[tuple[float, bool]]) -> int:
    """How many of `test` the majority of their nearest neighbors in `train` tells right."""
    ranked = sorted(train)
    values = [value for value, _ in ranked]
    right = 0
    for value, label in test:
        middle = bisect(values, value)
        around = ranked[max(middle - NEIGHBORS, 0) : middle + NEIGHBORS]
        nearest = sorted(around, key=lambda each: abs(each[0] - value))[:NEIGHBORS]
        right += (sum(known for _, known in nearest) * 2 > len(nearest)) == label
    return right


CLASSIFIERS = {"threshold": by_threshold, "neighbors": by_neighbors}
FEATURES: dict[str, Callable[[Sample], float]] = {
    "sign-up": lambda sample: float(sample.took[0]),
    "page after": lambda sample: float(sample.took[1]),
    "bytes": lambda sample: float(len(sample.said)),
}


def accuracies(samples: Sequence[Sample]) -> Iterator[tuple[str, str, str, float]]:
    """(state, feature, classifier, share told right), each state against an address that nobody knows.

    Half the samples teach a classifier, which then tells the other half.
    """
    unknown = [sample for sample in samples if sample.state == STATES[0]]
    for state in STATES[1:]:
        theirs = [sample for sample in samples if sample.state == state]
        pairs = [((one, False), (other, True)) for one, other in zip(unknown, theirs, strict=True)]
        halves = pairs[::2], pairs[1::2]
        for feature, measure in FEATURES.items():
            learned, told = ([(measure(one), known) for pair in part for one, known in pair] for part in halves)
            for name, classify in CLASSIFIERS.items():
                yield state, feature, name, classify(learned, told) / len(told)


def main(each: int = SAMPLES) -> int:
    with tempfile.TemporaryDirectory() as folder:
        databases = Databases(Path(folder))
        engine = open_engine(databases.fresh("sqlite", with_content))
        with opened(make_tools(engine, Keyring({1: bytes(range(32))})), Clock(), Path(folder)) as site:
            invite(site)
            samples = asyncio.run(gather(site, 2 * each, WARM_UP))
        engine.dispose()
        databases.close()
    click.echo(
        f"{each} sign-ups of each state to learn from and {each} to tell, median µs: " + ", ".join(_medians(samples))
    )
    different = len({sample.said for sample in samples})
    worst = 0.0
    for state, feature, name, share in accuracies(samples):
        worst = max(worst, abs(share - 0.5))
        click.echo(f"{state:>13} {feature:>11} {name:>10} {share:6.1%}")
    click.echo(f"{different} different answer(s); the best guess is {worst:.1%} from a coin's")
    return int(different != 1 or worst > MAY_DIFFER)


def _medians(samples: Sequence[Sample]) -> Iterator[str]:
    for state in STATES:
        yield f"{state} {statistics.median(each.took[0] for each in samples if each.state == state) / 1000:.0f}"


if __name__ == "__main__":
    sys.exit(main())
