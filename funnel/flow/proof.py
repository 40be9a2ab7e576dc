"""The proof of what somebody agreed to: each wording in full, checked against its hash, and what was done when."""

from dataclasses import dataclass, replace

from funnel.core.consent import Action, wording_hash
from funnel.flow.tools import Tools
from funnel.store import consents, subscribers
from funnel.store.db import reading


@dataclass(frozen=True)
class Step:
    """What was done, and when (epoch milliseconds)."""

    action: str
    at_ms: int


@dataclass(frozen=True)
class Agreement:
    """One purpose in one wording, as put to somebody in one sign-up; `wording` is None where the text is not kept."""

    purpose: str
    wording: str | None
    wording_hash: str
    funnel: str | None
    locale: str
    revision: str
    steps: tuple[Step, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Whether the text is the very one that the hash was made of."""
        return self.wording is not None and wording_hash(self.wording) == self.wording_hash

    @property
    def stands(self) -> bool:
        """Whether it holds now: confirmed, and not withdrawn since."""
        return self.steps[-1].action == Action.CONFIRMED


def prove(tools: Tools, address: str) -> list[Agreement] | None:
    """Everything that whoever has this address was asked and agreed to, the oldest first. None: nobody has it."""
    with reading(tools.engine) as connection:
        found = subscribers.by_hash(connection, tools.keyring.address_hashes(address))
        rows = consents.told(connection, found.id) if found else None
    if rows is None:
        return None
    steps: dict[tuple[int | None, Agreement], tuple[Step, ...]] = {}
    for row in rows:
        asked = Agreement(row.purpose, row.text, row.wording_hash, row.funnel, row.locale, row.revision_id)
        done = steps.get((row.signup_id, asked), ())
        steps[row.signup_id, asked] = (*done, Step(row.action, row.at_ms))
    return [replace(asked, steps=done) for (_, asked), done in steps.items()]
