"""Lifting a suppression: an operator's act, for somebody who asks to be mailed again."""

from funnel.core.consent import Suppressed, Suppression
from funnel.flow.tools import Tools
from funnel.store import subscribers
from funnel.store.db import writing


def lift(tools: Tools, address: str) -> Suppression | None:
    """Lifts whatever stands against an address; returns what stood, or None.

    It only lifts: nobody is mailed before they have signed up and confirmed anew.
    """
    hashes = tools.keyring.address_hashes(address)
    with writing(tools.engine) as connection:
        found = subscribers.suppression_of(connection, hashes)
        if found:
            subscribers.lift(connection, hashes, {*Suppressed, found.reason})
        return found
