"""The provider of a run: it takes mail badly, keeps a ledger of what it took, and tells the webhook about it."""

import random
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import urllib3

from tests.chaos.journal import now_ms
from tests.chaos.later import Later
from tests.fakes.sendgrid import Answer, Delay, Drop, FakeSendGrid, Half, Reset, TakeThen, _deliver
from tests.fakes.webhook import Signer, dump, event

LINK = re.compile(r"/([cuo])/([A-Za-z0-9_-]+)")
REFUSALS = frozenset({400, 401, 404, 413, 422})
EVENTS_AT_ONCE = 40
Broken = Answer | Drop | Reset | TakeThen | Half


@dataclass(frozen=True)
class Taken:
    """One mail that the provider has accepted. `fault`: how its request was answered, where not as it should be."""

    at_ms: int
    uid: str
    attempt: int
    position: int
    message_id: str
    to: str
    subject: str
    links: dict[str, str]
    fault: str

    @property
    def is_lesson(self) -> bool:
        return "u" in self.links


class Faults:
    """Latency, and a fault for `rate` of the requests; neither while that is 0."""

    def __init__(self, seed: int) -> None:
        self.rate = 0.0
        self.counts: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._lock = threading.Lock()
        self._mine = threading.local()

    @property
    def mine(self) -> str:
        """The fault of the request that this thread answers."""
        return str(getattr(self._mine, "name", ""))

    def __call__(self) -> Delay:
        with self._lock:
            slow = bool(self.rate) and self._draw.random() < 0.01
            pause = self._draw.uniform(1.0, 2.5) if slow else self._draw.uniform(0, 0.12) if self.rate else 0.0
            name, fault = self._fault() if self._draw.random() < self.rate else ("", None)
            self.counts[name or "none"] += 1
            self.counts["slow"] += slow
        self._mine.name = name
        return Delay(pause, fault)

    def _fault(self) -> tuple[str, Broken]:
        draw = self._draw
        status = draw.choice((500, 502, 503, 504))
        within: Literal["status", "headers", "body"] = draw.choice(("status", "headers", "body"))
        faults: list[tuple[str, Broken]] = [
            ("reset", Reset(draw.choice((0, 200, 2_000)))),
            ("5xx", Answer(status)),
            ("accepted, then 5xx", TakeThen(Answer(status))),
            ("dropped", Drop("before")),
            ("accepted, then dropped", Drop("after")),
            ("half an answer", Half(within, taken=False)),
            ("accepted, half an answer", Half(within, taken=True)),
        ]
        if draw.random() < 0.06:
            return "429", Answer(429, headers={"X-RateLimit-Reset": str(now_ms() // 1000 + 1)})
        return draw.choice(faults)


class Post:
    """`taken` is the ledger. `on_mail` is told of each mail; `told` is when the webhook had first heard of an attempt.

    A share `mute` of the requests whose answer was ambiguous is told of only after `silence_ms`: as if by a webhook
    that seems healthy and is not.
    """

    def __init__(self, seed: int, later: Later, web: str, silence_ms: int, *, mute: float) -> None:
        self.faults = Faults(seed)
        self.mute = mute
        self.taken: list[Taken] = []
        self.told: dict[tuple[str, int], int] = {}
        self.muted: set[tuple[str, int]] = set()
        self.counts: Counter[str] = Counter()
        self.signer = Signer()
        self.on_mail: Callable[[Taken], None] = lambda _: None
        self.server = FakeSendGrid(faults=self.faults, on_accepted=self._take, keep=False)
        self._later = later
        self._hook = f"{web}/hooks/sendgrid"
        self.silence_ms = silence_ms
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=10)
        self._draw = random.Random(seed + 1)
        self._lock = threading.Lock()

    def attempts(self) -> dict[str, dict[int, Taken]]:
        """uid → attempt → one of its mails, for each that was accepted."""
        found: dict[str, dict[int, Taken]] = defaultdict(dict)
        for mail in list(self.taken):
            found[mail.uid].setdefault(mail.attempt, mail)
        return found

    def _take(self, message_id: str, payload: dict[str, Any]) -> None:
        fault, at_ms = self.faults.mine, now_ms()
        mails = [_mail(each, at_ms, fault) for each in _deliver(message_id, payload)]
        self.taken += mails
        with self._lock:
            muted = bool(fault) and self._draw.random() < self.mute
            if muted:
                self.muted.add((mails[0].uid, mails[0].attempt))
            self._tell(mails, self.silence_ms / 1000 + self._draw.uniform(2, 4) if muted else 0.0)
        for mail in mails:
            self.on_mail(mail)

    def _tell(self, mails: list[Taken], delay_s: float) -> None:
        """Each mail's events, in any order; some of them twice."""
        draw = self._draw
        by_moment: dict[float, list[dict[str, Any]]] = defaultdict(list)
        moments = [delay_s + draw.uniform(0.05, 0.8) for _ in range(3)]
        for mail in mails:
            for kind, more in self._fates(mail):
                told = event(mail.uid, mail.position, kind, mail.at_ms, mail.attempt, **more)
                by_moment[draw.choice(moments)].append(told)
        for moment, told_then in by_moment.items():
            draw.shuffle(told_then)
            self._later.after(moment, lambda events=told_then: self._post(events))  # type: ignore[misc]
            if draw.random() < 0.1:
                self._later.after(moment + draw.uniform(0, 3), lambda events=told_then: self._post(events))  # type: ignore[misc]

    def _fates(self, mail: Taken) -> list[tuple[str, dict[str, Any]]]:
        drawn = self._draw.random()
        fates: list[tuple[str, dict[str, Any]]] = [("processed", {})]
        if mail.is_lesson and drawn < 0.008:
            return [*fates, ("bounce", {})]
        if mail.is_lesson and drawn < 0.012:
            return [*fates, ("delivered", {}), ("spamreport", {})]
        if drawn < 0.1:
            fates.append(("deferred", {}))
        return [*fates, ("delivered", {})]

    def _post(self, events: list[dict[str, Any]]) -> float | None:
        body = dump(*events)
        try:
            answer = self._http.request("POST", self._hook, body=body, headers=self.signer.headers(body, now_ms()))
        except urllib3.exceptions.HTTPError:
            self.counts["webhook without an answer"] += 1
            return 0.2
        self.counts[f"webhook {answer.status}"] += 1
        if answer.status in REFUSALS:
            raise AssertionError(f"the webhook refused true events with {answer.status}")
        if answer.status >= 500:
            return 0.2
        for each in events:
            uid, _, attempt = each["batch"].partition(".")
            self.told.setdefault((uid, int(attempt)), now_ms())
        return None


def _mail(mail: Any, at_ms: int, fault: str) -> Taken:
    uid, _, attempt = mail.custom_args["batch"].partition(".")
    links = dict(LINK.findall(mail.text + mail.headers.get("List-Unsubscribe", "")))
    position = int(mail.custom_args["position"])
    return Taken(at_ms, uid, int(attempt), position, mail.headers["Message-ID"], mail.to, mail.subject, links, fault)
