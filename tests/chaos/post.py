"""The provider of a run: it takes mail badly, and keeps a ledger of what it took."""

import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

LINK = re.compile(r"/([cuo])/([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class Taken:
    """One mail that the provider has accepted. `fault`: how it was answered, where not as it should be.

    A provider that is told no `uid` and `attempt` leaves them empty.
    """

    at_ms: int
    message_id: str
    to: str
    subject: str
    links: dict[str, str]
    fault: str
    uid: str = ""
    attempt: int = 0
    position: int = 0

    @property
    def is_lesson(self) -> bool:
        return "u" in self.links


class Post(ABC):
    """`taken` is the ledger; `on_mail` is told of each mail. `refused` are the readers who can never be reached.

    `rate` is the share of what is asked of it that meets a fault, but for a `lull`; `faults` are those that it met.
    """

    mail = ""

    def __init__(self) -> None:
        self.rate = 0.0
        self.lull = False
        self.faults: Counter[str] = Counter()
        self.taken: list[Taken] = []
        self.refused: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.on_mail: Callable[[Taken], None] = lambda _: None

    @property
    @abstractmethod
    def server(self) -> AbstractContextManager[Any]:
        """Runs while inside it."""

    @abstractmethod
    def env(self) -> dict[str, str]:
        """The settings that lead to it."""

    def attempts(self) -> dict[str, dict[int, Taken]]:
        """uid → attempt → one of its mails, for each that was accepted."""
        found: dict[str, dict[int, Taken]] = defaultdict(dict)
        for mail in list(self.taken):
            found[mail.uid].setdefault(mail.attempt, mail)
        return found

    def told_ms(self, uid: str, attempt: int) -> int | None:
        """When it first told of an attempt; most never do."""
        return None


def links(text: str) -> dict[str, str]:
    return dict(LINK.findall(text))


def read_mail(raw: bytes, at_ms: int, fault: str = "") -> Taken:
    """What was taken as MIME."""
    parsed = message_from_bytes(raw, EmailMessage, policy=policy.SMTP)
    text = parsed.get_body(("plain",))
    assert text is not None
    found = links(text.get_content() + parsed.get("List-Unsubscribe", ""))
    return Taken(at_ms, parsed["Message-ID"], parsed["To"], parsed["Subject"], found, fault)
