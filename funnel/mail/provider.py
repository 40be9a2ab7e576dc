"""What every mail provider is given and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from funnel.core.delivery import Report, Unknowns
from funnel.mail.compile import Template


@dataclass(frozen=True)
class Recipient:
    """One person's part of a mailing. `key` names the message for good: handing over again uses the same one."""

    key: str
    address: str
    message_id: str
    values: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Mailing:
    """One batch, ready to hand over. `uid` is random and all that the provider learns of our bookkeeping."""

    uid: str
    template: Template
    sender_name: str
    sender_address: str
    headers: Mapping[str, str]
    recipients: tuple[Recipient, ...]
    date_ms: int


class Provider(Protocol):
    """A way to send mail. `hand_over` may be called from several threads at once and raises nothing."""

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def unknowns(self) -> Unknowns: ...

    def hand_over(self, mailing: Mailing) -> Report:
        """Hands the batch over. Positions in the report are places in `mailing.recipients`."""
        ...

    def close(self) -> None: ...
