"""A SendGrid that takes mail badly, and tells the webhook about it: in any order, more than once, some of it late."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import urllib3

from funnel.core.delivery import State
from tests.chaos.journal import Journal, now_ms
from tests.chaos.later import Later
from tests.chaos.post import Post, Taken, links
from tests.fakes.sendgrid import Answer, Delay, Drop, FakeSendGrid, Half, Reset, TakeThen, _deliver
from tests.fakes.webhook import Signer, dump, event

REFUSALS = frozenset({400, 401, 404, 413, 422})
SOONEST_S = 0.3  # of a webhook: by then an answer has been recorded, if it ever is
SLOW_AGAIN_S = 2.5
Broken = Answer | Drop | Reset | TakeThen | Half


class Faults:
    """Latency, and a fault for `post.rate` of the requests; neither while that is 0."""

    def __init__(self, seed: int, post: Post) -> None:
        self._draw = random.Random(seed)
        self._post = post
        self._lock = threading.Lock()
        self._mine = threading.local()

    @property
    def mine(self) -> str:
        """The fault of the request that this thread answers."""
        return str(getattr(self._mine, "name", ""))

    def __call__(self) -> Delay:
        rate = self._post.rate
        with self._lock:
            slow = bool(rate) and self._draw.random() < 0.01
            pause = self._draw.uniform(1.0, 2.5) if slow else self._draw.uniform(0, 0.12) if rate else 0.0
            name, fault = self._fault() if self._draw.random() < rate and not self._post.lull else ("", None)
            self._post.faults[name or "none"] += 1
            self._post.faults["slow"] += slow
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


class SendGridPost(Post):
    """`told` is when the webhook had first heard of an attempt.

    Of attempts whose answer nobody has recorded as it was, the first and then a share `mute` is told of only after
    `silence_ms`: as if by a webhook that seems healthy and is not.
    """

    mail = "sendgrid"

    def __init__(self, seed: int, later: Later, web: str, silence_ms: int, journal: Journal, *, mute: float) -> None:
        super().__init__()
        self.silence_ms = silence_ms
        self.told: dict[tuple[str, int], int] = {}
        self.muted: set[tuple[str, int]] = set()
        self._faults = Faults(seed, self)
        self._signer = Signer()
        self._server = FakeSendGrid(faults=self._faults, on_accepted=self._take, keep=False)
        self._later = later
        self._journal = journal
        self._mute = mute
        self._hook = f"{web}/hooks/sendgrid"
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=10)
        self._draw = random.Random(seed + 1)
        self._lock = threading.Lock()
        self._silent_until: dict[tuple[str, int], int] = {}

    @property
    def server(self) -> FakeSendGrid:
        return self._server

    def env(self) -> dict[str, str]:
        return {
            "FUNNEL_MAIL": "sendgrid",
            "SENDGRID_API_KEY": self._server.api_key,
            "SENDGRID_API_URL": self._server.url,
            "SENDGRID_WEBHOOK_KEY": self._signer.public,
        }

    def told_ms(self, uid: str, attempt: int) -> int | None:
        return self.told.get((uid, attempt))

    def _take(self, message_id: str, payload: dict[str, Any]) -> None:
        fault, at_ms = self._faults.mine, now_ms()
        mails = [_mail(each, at_ms, fault) for each in _deliver(message_id, payload)]
        self.taken += mails
        with self._lock:
            self._tell(mails)
        for mail in mails:
            self.on_mail(mail)
        if self.rate and mails[0].attempt > 1:
            self._later.ended.wait(self._draw.uniform(0.2, SLOW_AGAIN_S))  # whoever was first may come back meanwhile

    def _tell(self, mails: list[Taken]) -> None:
        """Each mail's events, in any order; some of them twice."""
        draw = self._draw
        by_moment: dict[float, list[dict[str, Any]]] = defaultdict(list)
        moments = [draw.uniform(SOONEST_S, 0.9) for _ in range(3)]
        for mail in mails:
            for kind, more in self._fates(mail):
                told = event(mail.uid, mail.position, kind, mail.at_ms, mail.attempt, **more)
                by_moment[draw.choice(moments)].append(told)
        name = mails[0].uid, mails[0].attempt
        for moment, told_then in by_moment.items():
            draw.shuffle(told_then)
            posting = self._posting(name, told_then)
            self._later.after(moment, posting)
            if draw.random() < 0.1:
                self._later.after(moment + draw.uniform(0, 3), posting)

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

    def _posting(self, name: tuple[str, int], events: list[dict[str, Any]]) -> Callable[[], float | None]:
        return lambda: self._silence_s(name) or self._post(name, events)

    def _silence_s(self, name: tuple[str, int]) -> float | None:
        """How long nothing is to be told of an attempt; decided when there would be something for the first time."""
        with self._lock:
            if name not in self._silent_until:
                in_doubt = self._journal.fate(*name) != State.ACCEPTED
                muted = in_doubt and (not self.muted or self._draw.random() < self._mute)
                if muted:
                    self.muted.add(name)
                longer = self.silence_ms + int(self._draw.uniform(2_000, 3_500)) if muted else 0
                self._silent_until[name] = now_ms() + longer
            left_ms = self._silent_until[name] - now_ms()
        return left_ms / 1000 if left_ms > 0 else None

    def _post(self, name: tuple[str, int], events: list[dict[str, Any]]) -> float | None:
        body = dump(*events)
        try:
            answer = self._http.request("POST", self._hook, body=body, headers=self._signer.headers(body, now_ms()))
        except urllib3.exceptions.HTTPError:
            self.counts["webhook without an answer"] += 1
            return 0.2
        self.counts[f"webhook {answer.status}"] += 1
        if answer.status in REFUSALS:
            raise AssertionError(f"the webhook refused true events with {answer.status}")
        if answer.status >= 500:
            return 0.2
        self.told.setdefault(name, now_ms())
        return None


def _mail(mail: Any, at_ms: int, fault: str) -> Taken:
    uid, _, attempt = mail.custom_args["batch"].partition(".")
    found = links(mail.text + mail.headers.get("List-Unsubscribe", ""))
    position = int(mail.custom_args["position"])
    return Taken(at_ms, mail.headers["Message-ID"], mail.to, mail.subject, found, fault, uid, int(attempt), position)
