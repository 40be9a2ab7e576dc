"""Everything that is kept about somebody, as plain data: for the reader's page, for a file, for an operator.

docs/data.md tells what each field means. Whoever changes a field's meaning changes FORMAT.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from funnel.core.consent import Enrolled
from funnel.core.lesson import fill, is_link_only, segment_traits
from funnel.core.notice import ADDRESS
from funnel.core.sequence import Funnel
from funnel.flow import people, rights
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.store import history, subscribers, takeout
from funnel.store.db import reading
from funnel.store.tables import Record

FORMAT = "funnel-data-1"
Data = dict[str, Any]


def of_holder(tools: Tools, token: str, now_ms: int) -> Data | None:
    """What is kept about the holder of an open link."""
    with reading(tools.engine) as connection:
        found = rights.find(connection, token, now_ms)
        return gather(connection, tools, found.reader, now_ms) if found else None


def of_address(tools: Tools, address: str, now_ms: int) -> Data | None:
    """What is kept about whoever has this address, for an operator."""
    with reading(tools.engine) as connection:
        reader = subscribers.by_hash(connection, tools.keyring.address_hashes(address))
        return gather(connection, tools, reader, now_ms) if reader else None


def gather(connection: Connection, tools: Tools, reader: Record, now_ms: int) -> Data:
    opened = _Opened(connection, tools, reader)
    funnels = {name: funnel.read_in(reader.locale) for name, (_, funnel) in tools.current(connection).items()}
    stands = history.suppressed(connection, reader.id)
    return {
        "format": FORMAT,
        "made": moment(now_ms),
        "person": _person(reader, opened),
        "consents": [_consent(row) for row in takeout.consents(connection, reader.id)],
        "sign_ups": [_sign_up(row, opened, funnels) for row in takeout.sign_ups(connection, reader.id)],
        "courses": _courses(connection, reader, funnels),
        "notes": _notes(connection, tools, reader, funnels),
        "service_mails": [_mail(row, opened, funnels) for row in takeout.service_mails(connection, reader.id)],
        "suppression": {"reason": stands.reason, "since": moment(stands.at_ms)} if stands else None,
    }


def moment(ms: int | None) -> str | None:
    """An instant as ISO 8601, in UTC and to the second."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else None


class _Opened:
    """What was sealed for a person; None for whatever cannot be opened any more."""

    def __init__(self, connection: Connection, tools: Tools, reader: Record) -> None:
        self._hash = reader.address_hash
        try:
            self._key: bytes | None = people.key_for(connection, tools.keyring, reader)
        except (LookupError, Unreadable):
            self._key = None

    def person(self, sealed: bytes | None) -> people.Person | None:
        try:
            return people.open_person(self._key, self._hash, sealed) if self._key and sealed else None
        except Unreadable:
            return None

    def request(self, sealed: bytes | None) -> people.Request | None:
        try:
            return people.open_request(self._key, self._hash, sealed) if self._key and sealed else None
        except Unreadable:
            return None


def _person(reader: Record, opened: _Opened) -> Data:
    known = opened.person(reader.sealed)
    return {
        "address": known.address if known else None,
        "first_name": known.first_name if known else None,
        "time_zone": reader.zone,
        "language": reader.locale,
        "mail": _held(reader.link_only),
        "standing": reader.state,
        "known_since": moment(reader.created_ms),
        "standing_since": moment(reader.changed_ms),
        "address_since": moment(reader.moved_in_ms),
    }


def _held(link_only: bool) -> str:
    """What a mail holds: the note itself, or a link to it."""
    return "link" if link_only else "note"


def _consent(row: Record) -> Data:
    said = {"purpose": row.purpose, "action": row.action, "at": moment(row.at_ms)}
    return {**said, "wording": row.text, "language": row.locale, "revision": row.revision_id}


def _sign_up(row: Record, opened: _Opened, funnels: Mapping[str, Funnel]) -> Data:
    asked = opened.request(row.sealed)
    wanted = None
    if asked:
        wanted = {"first_name": asked.first_name, "pattern": asked.pattern, "second_pattern": asked.secondary}
        wanted |= {"time_zone": asked.zone, "language": asked.locale, "mail": _held(asked.link_only)}
    told = {"site": _site(row.funnel, funnels), "state": row.state, "at": moment(row.created_ms)}
    return {**told, "language": row.locale, "asked_for": wanted}


def _courses(connection: Connection, reader: Record, funnels: Mapping[str, Funnel]) -> list[Data]:
    rows = takeout.courses(connection, reader.id)
    active = any(row.state == Enrolled.ACTIVE for row in rows)
    waits = takeout.waiting(connection, reader.id) if active else {}
    kept = takeout.slots(connection, reader.id)
    pressed: dict[int, list[Data]] = defaultdict(list)
    for press in takeout.presses(connection, [row.id for row in rows]):
        pressed[press.enrollment_id].append({"what": press.event, "at": moment(press.at_ms)})
    found = []
    for row in rows:
        due = waits.get(row.id)
        funnel = funnels.get(row.funnel)
        pattern = funnel.patterns.get(row.pattern) if funnel else None
        about = {"course": row.id, "site": _site(row.funnel, funnels), "pattern": row.pattern or None}
        about |= {"pattern_name": pattern.name if pattern else None, "second_pattern": row.secondary}
        about |= {"pace": row.pace, "language": row.locale, "state": row.state, "why": row.reason}
        about |= {"began": moment(row.created_ms), "changed": moment(row.changed_ms)}
        about |= {"next_note": moment(due.due_ms) if due and due.turn == row.turn else None}
        about |= {"kept_for_next_note": moment(kept.get(row.id)), "pressed": pressed[row.id]}
        found.append(about)
    return found


def _notes(connection: Connection, tools: Tools, reader: Record, funnels: Mapping[str, Funnel]) -> list[Data]:
    rows = history.deliveries(connection, reader.id)
    told: dict[int, list[Data]] = defaultdict(list)
    for event in history.events(connection, [row.id for row in rows]):
        about = {"kind": event.kind, "why": event.reason or None, "at": moment(event.at_ms)}
        told[event.delivery_id].append({**about, "received": moment(event.received_ms)})
    return [_note(connection, tools, row, told[row.id], funnels) for row in rows]


def _note(
    connection: Connection, tools: Tools, row: Record, events: Sequence[Data], funnels: Mapping[str, Funnel]
) -> Data:
    return {
        "course": row.enrollment_id,
        "site": _site(row.funnel, funnels),
        "note": row.lesson_key,
        "subject": _subject(connection, tools, row),
        "mail": _held(is_link_only(row.batch_segment)) if row.batch_segment is not None else None,
        "due": moment(row.due_ms),
        "handed_over": moment(row.batch_started_ms),
        "settled": moment(row.batch_settled_ms),
        "state": row.state or row.batch_state,
        "why": row.reason or row.batch_reason,
        "provider": row.batch_provider,
        "events": list(events),
    }


def _subject(connection: Connection, tools: Tools, row: Record) -> str | None:
    """The note's own subject, in the revision and the language of its batch."""
    if not row.lesson_key or not row.batch_revision_id:
        return None
    try:
        funnel = tools.funnel(connection, row.batch_revision_id)
    except LookupError:
        return None
    found = funnel.read_in(segment_traits(row.batch_segment).get("locale", "")).lesson(row.lesson_key)
    return fill(found[1].source.subject, {"first_name": ""}) if found else None


def _mail(row: Record, opened: _Opened, funnels: Mapping[str, Funnel]) -> Data:
    other = opened.person(row.sealed)
    about = {"kind": row.kind, "site": _site(row.funnel, funnels), "asked": moment(row.created_ms)}
    if row.kind == ADDRESS:  # what became of it could tell whether that address is known here: it may be anybody's
        about |= {"state": "asked", "why": None, "link_works_until": None}
    else:
        about |= {"state": row.state or "sent", "why": row.reason, "link_works_until": moment(row.expires_ms)}
    return {**about, "to_another_address": other.address if other else None}


def _site(name: str | None, funnels: Mapping[str, Funnel]) -> str | None:
    """A funnel by the name that its readers know it by."""
    return funnels[name].title if name and name in funnels else name
