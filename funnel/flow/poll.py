"""Reads the provider's suppression lists: a net below the webhook, whose events may get lost."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from funnel.core.consent import Suppressed
from funnel.flow.leaving import suppress
from funnel.flow.tools import Tools
from funnel.mail.suppressions import Entry, List, ListFault, Suppressions
from funnel.store import keys, polls, subscribers
from funnel.store.db import exclude_starts, writing

OVERLAP_MS = 3_600_000  # SendGrid's clock and ours may differ, and what it lists may come late

# What being on a list means for its addresses. Blocks mean "not this time": they are only counted.
REASONS: dict[List, Suppressed | None] = {
    List.SPAM_REPORTS: Suppressed.COMPLAINT,
    List.BOUNCES: Suppressed.BOUNCED,
    List.INVALID_EMAILS: Suppressed.BOUNCED,
    List.UNSUBSCRIBES: Suppressed.UNSUBSCRIBED,
    List.BLOCKS: None,
}


@dataclass(frozen=True)
class Polled:
    """How many entries of each list were read, and what kept it from reading all of some list.

    After a temporary fault the next call goes on where this one stopped; any other needs a person first.
    """

    read: dict[str, int] = field(default_factory=dict)
    faults: dict[str, ListFault] = field(default_factory=dict)


def poll(
    tools: Tools, lists: Suppressions, now_ms: int, progress: Callable[[str, int], None] = lambda *_: None
) -> Polled:
    """Reads what is new on every list, or goes on where an earlier call stopped.

    After each page, `progress(list, entries of it read since its pass began)` is called.
    """
    polled = Polled()
    for list_ in List:
        polled.read[list_] = 0
        try:
            while size := _read_page(tools, lists, list_, now_ms, progress):
                polled.read[list_] += size
        except ListFault as fault:
            polled.faults[list_] = fault
            if fault.temporary:
                break
    return polled


def _read_page(
    tools: Tools, lists: Suppressions, list_: List, now_ms: int, progress: Callable[[str, int], None]
) -> int:
    """Reads one page of a list, in a transaction of its own. Returns how much stood there; 0 at the end."""
    with writing(tools.engine) as connection:
        row = polls.begin(connection, list_, now_ms)
    page = lists.page(list_, row.offset, (row.finished_ms or 0) - OVERLAP_MS, row.since_ms)
    with writing(tools.engine) as connection:
        if not polls.advance(connection, row, page.size):
            return 0  # somebody else is reading this list
        _take(connection, tools, REASONS[list_], page.entries, now_ms)
    if page.size:
        progress(list_, row.found + page.size)
    return page.size


def _take(connection: Connection, tools: Tools, reason: Suppressed | None, entries: list[Entry], now_ms: int) -> None:
    if reason is None:
        return
    version = keys.in_use(connection)
    hashes = {entry: tools.keyring.address_hashes(entry.address, version) for entry in entries}
    every = [hash_ for each in hashes.values() for hash_ in each]
    readers = {row.address_hash: row for row in subscribers.locked_by_hash(connection, every)}
    before = subscribers.suppressed(connection, every)
    if readers:
        exclude_starts(connection)
    strangers: dict[bytes, int] = {}
    for entry, theirs in hashes.items():
        at_ms = min(entry.at_ms, now_ms)
        found = next((readers[hash_] for hash_ in theirs if hash_ in readers), None)
        if found:
            suppress(connection, found, reason, at_ms, now_ms)
        else:
            own = next((hash_ for hash_ in theirs if hash_ in before), theirs[0])
            strangers[own] = max(at_ms, strangers.get(own, 0))
    # A sign-up of theirs lifts an unsubscription anyway: only the other reasons need remembering.
    if reason != Suppressed.UNSUBSCRIBED:
        subscribers.suppress_all(connection, strangers, reason)
