"""The ways in which the fake SendGrid misbehaves: written down one by one, or drawn at random from a seed."""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; the request is not handled. `body`: None, a string sent as it is, or anything JSON can hold."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """Hang up without an answer, before or after the request has been taken."""

    when: Literal["before", "after"] = "before"


@dataclass(frozen=True)
class Reset:
    """Reset the connection when this many bytes of the request's body have been read; nothing is taken."""

    after_bytes: int = 0


@dataclass(frozen=True)
class TakeThen:
    """Take the request, and then give an answer that says nothing of it."""

    answer: Answer


@dataclass(frozen=True)
class Half:
    """Break off within a part of the answer: of the usual one, or of a 500 when the request is not taken."""

    within: Literal["status", "headers", "body"]
    taken: bool = True


@dataclass(frozen=True)
class Delay:
    """Wait, then do what `then` says, or handle the request as usual. `Delay(0)` lets one request pass."""

    seconds: float
    then: "Answer | Drop | Reset | TakeThen | Half | None" = None


Fault = Answer | Drop | Reset | TakeThen | Half | Delay


class RandomFaults:
    """A fault for `rate` of the requests, and for all of them a wait between the two `latency` seconds. Thread-safe."""

    def __init__(self, seed: int, rate: float = 0.2, latency: tuple[float, float] = (0.0, 0.05)) -> None:
        self.rate = rate
        self.latency = latency
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self) -> Fault:
        with self._lock:
            draw = self._random
            pause = draw.uniform(*self.latency)
            return Delay(pause, self._fault(draw) if draw.random() < self.rate else None)

    def _fault(self, draw: random.Random) -> Answer | Drop | Reset | TakeThen | Half:
        broken = Answer(draw.choice((500, 502, 503, 504)))
        reset = {"X-RateLimit-Reset": str(int(time.time()) + draw.randint(1, 3))}
        within: Literal["status", "headers", "body"] = draw.choice(("status", "headers", "body"))
        return draw.choice(
            (
                Reset(draw.choice((0, 0, 500, 5_000))),
                Answer(429, headers=reset),
                broken,
                TakeThen(broken),
                Drop("before"),
                Drop("after"),
                Half(within, taken=draw.random() < 0.5),
            )
        )
