"""What every mail provider is given and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from funnel.core.delivery import Report, Unknowns
from funnel.mail.compile import Template


class Recipient(NamedTuple):
    """One person's part of a mailing.

    `key` names the message for good: handing over again uses the same one. `place` is its number in the batch, for
    good: together with the batch's uid it is what the provider's events are told by.
    """

    key: str
    address: str
    message_id: str
    values: Mapping[str, str]
    headers: Mapping[str, str]
    place: int = 0


def always() -> bool:
    return True


@dataclass(frozen=True)
class Mailing:
    """One attempt at handing over a batch. `uid` is random; it and `attempt` are all the provider sees of our books.

    `in_time` tells whether it may still begin. A provider asks when its connection stands, right before the first byte
    that could make the other side send a mail: looking up a name and connecting may take longer than anybody allows.
    """

    uid: str
    template: Template
    sender_name: str
    sender_address: str
    headers: Mapping[str, str]
    recipients: tuple[Recipient, ...]
    date_ms: int
    attempt: int = 1
    in_time: Callable[[], bool] = field(default=always, compare=False, repr=False)


class Provider(Protocol):
    """A way to send mail. `hand_over` may be called from `width` threads at once, and raises nothing.

    That many never wait for one another: whoever waits does so before a batch is started, not while its lease runs out.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def unknowns(self) -> Unknowns: ...

    def hand_over(self, mailing: Mailing) -> Report:
        """Hands the batch over. The report's exceptions are by index into `mailing.recipients`."""
        ...

    def close(self) -> None: ...
