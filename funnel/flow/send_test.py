"""Sends lessons to an operator's own inbox, marked as a test: through the real provider, outside the ledger.

Nothing is written: no subscriber, no enrollment, no delivery. The links lead to a page that says what they are.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from funnel.core.delivery import Fate, Kind, State
from funnel.core.sequence import Funnel
from funnel.flow import compose, specimen
from funnel.flow.tools import Tools
from funnel.mail.compile import Pieces, Template
from funnel.mail.provider import Mailing, Provider, Recipient

MARK = "[Test] "
HEADER = {"X-Funnel-Test": "yes"}


@dataclass(frozen=True)
class Sent:
    """What became of one lesson. `reason` is the provider's, in its words, where it was not taken."""

    key: str
    fate: Fate

    @property
    def taken(self) -> bool:
        return self.fate.state == State.ACCEPTED


def keys_of(funnel: Funnel, pattern: str, key: str | None) -> list[str]:
    """The lessons to send: one, or all of the pattern. Raises LookupError, which says what there is instead."""
    found = funnel.patterns.get(pattern)
    if not found:
        raise LookupError(f"There is no pattern of that name; there are {', '.join(funnel.patterns)}.")
    keys = [lesson.key for lesson in found.lessons]
    if key is not None and key not in keys:
        raise LookupError(f"That pattern has no such lesson; it has {', '.join(keys)}.")
    return keys if key is None else [key]


def send_test(
    tools: Tools,
    provider: Provider,
    funnel: Funnel,
    revision_id: str,
    address: str,
    keys: Sequence[str],
    traits: Mapping[str, str],
    now_ms: int,
) -> Iterator[Sent]:
    """Hands over one lesson after the other, each by itself, and says what became of it. Stops at the first refusal."""
    for key in keys:
        template, _ = specimen.lesson_template(tools, funnel, revision_id, key, traits)
        report = provider.hand_over(_mailing(tools, funnel, marked(template), address, now_ms))
        sent = Sent(key, report.exceptions.get(0, report.fate))
        yield sent
        if not sent.taken:
            return


def marked(template: Template) -> Template:
    """The same mail with the mark before its subject."""
    return replace(template, subject=Pieces((MARK, *template.subject.parts)))


def _mailing(tools: Tools, funnel: Funnel, template: Template, address: str, now_ms: int) -> Mailing:
    uid = secrets.token_hex(12)
    nowhere = f"{tools.base_url}{specimen.NOWHERE}"
    message_id = f"<{secrets.token_urlsafe(16)}@{compose.domain_of(funnel)}>"
    own = {"List-Unsubscribe": f"<{nowhere}>"}
    recipient = Recipient(f"test-{uid}", address, message_id, specimen.values(tools), own)
    envelope = compose.envelope(funnel, Kind.LESSON)
    envelope["headers"] = {**envelope["headers"], **HEADER}
    return Mailing(uid=uid, template=template, recipients=(recipient,), date_ms=now_ms, **envelope)
