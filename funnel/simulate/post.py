"""A provider inside the process: takes everything, and remembers to whom and when."""

from collections.abc import Callable
from typing import NamedTuple

from funnel.core.delivery import ACCEPTED, Kind, Report, Unknowns
from funnel.mail.provider import Mailing


class Mail(NamedTuple):
    """A lesson that came through somebody's letterbox."""

    address: str
    delivery_id: int
    at_ms: int


class Post:
    """Its clock is the simulation's: what counts is when a mail came, whatever the mail says."""

    name = "simulation"
    width = 1
    unknowns = Unknowns.REPEAT

    def __init__(self, batch_size: int, clock: Callable[[], int]) -> None:
        self.batch_size = batch_size
        self.mails: list[Mail] = []
        self._clock = clock

    def hand_over(self, mailing: Mailing) -> Report:
        now_ms = self._clock()
        self.mails += [Mail(each.address, delivery_id(each.key), now_ms) for each in mailing.recipients]
        return Report(ACCEPTED)

    def close(self) -> None:
        """Nothing is held open."""


def delivery_id(key: str) -> int:
    """The delivery that a message's name stands for."""
    kind, _, number = key.partition("-")
    assert kind == Kind.LESSON, "nobody in a simulation asks for a notice"
    return int(number)
