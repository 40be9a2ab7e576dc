"""Leaving, taking it back, withdrawing, and being suppressed: effective for the very next batch."""

from sqlalchemy import Connection

from funnel.core.consent import Action, Enrolled, Purpose, Standing, Suppressed, is_overtaken, standing_after
from funnel.flow.course import end, meet_others, recipient, schedule_next
from funnel.flow.tools import Tools
from funnel.store import deliveries, enrollments, signups, subscribers
from funnel.store.db import writing
from funnel.store.tables import Record

UNDO_MS = 24 * 3_600_000
COURSE = frozenset({Purpose.COURSE})


def unsubscribe(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Stops everything for a delivery's reader, at once and for good. False when there is no such delivery."""
    with writing(tools.engine) as connection:
        found = recipient(connection, delivery_id, lock=True)
        if not found:
            return False
        stop(connection, found[1], now_ms)
        return True


def stop(connection: Connection, reader: Record, now_ms: int) -> None:
    """Withdraws a locked reader's consent to be mailed; whoever is not mailed anyway stays as they are."""
    if reader.state == Standing.ACTIVE:
        suppress(connection, reader, Suppressed.UNSUBSCRIBED, now_ms, now_ms)


def withdraw(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Stops everything and deletes the result: the patterns, and the ledger that would tell them. No way back."""
    with writing(tools.engine) as connection:
        found = recipient(connection, delivery_id, lock=True)
        if not found:
            return False
        withdraw_all(connection, found[1], now_ms)
        return True


def withdraw_all(connection: Connection, reader: Record, now_ms: int) -> None:
    """Withdraws a locked reader's consent to keep the result, which goes with all that would tell it."""
    if reader.state != Standing.ACTIVE and _has_withdrawn(connection, reader.id, Purpose.SENSITIVE):
        return
    suppress(connection, reader, Suppressed.UNSUBSCRIBED, now_ms, now_ms)
    _record(connection, reader.id, Action.WITHDRAWN, now_ms, frozenset(Purpose))
    signups.replace_all(connection, reader.id)
    enrollments.forget_patterns(connection, reader.id)
    deliveries.forget(connection, reader.id)


def suppress(connection: Connection, reader: Record, reason: Suppressed, at_ms: int, now_ms: int) -> None:
    """Ends every course of `reader` and suppresses the address, for what happened at `at_ms`.

    Who is suppressed for a stronger reason stays so for that one. Nothing happens to who has confirmed anew since.
    """
    if is_overtaken(reason, at_ms, reader.state, reader.changed_ms):
        return
    for running in enrollments.all_live(connection, reader.id):
        end(connection, running.id, reason, now_ms)
    standing = standing_after(reader.state, reason)
    if standing != reader.state:
        subscribers.set_state(connection, reader.id, standing, now_ms)
    subscribers.suppress(connection, reader.address_hash, reason, at_ms)
    if reason == Suppressed.UNSUBSCRIBED:
        _record(connection, reader.id, Action.WITHDRAWN, now_ms, COURSE)


def undo_unsubscribe(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Takes an unsubscription back, within a day and by its own reader's link; courses go on where they stood."""
    with writing(tools.engine) as connection:
        found = recipient(connection, delivery_id, lock=True)
        if not found:
            return False
        reader = found[1]
        if reader.state != Standing.UNSUBSCRIBED or reader.changed_ms < now_ms - UNDO_MS:
            return bool(reader.state == Standing.ACTIVE)
        if _has_withdrawn(connection, reader.id, Purpose.SENSITIVE):
            return False
        ended = enrollments.ended_for(connection, reader.id, Suppressed.UNSUBSCRIBED, reader.changed_ms)
        subscribers.set_state(connection, reader.id, Standing.ACTIVE, now_ms)
        subscribers.lift(connection, [reader.address_hash], [Suppressed.UNSUBSCRIBED])
        _record(connection, reader.id, Action.CONFIRMED, now_ms, COURSE)
        for stopped in ended:
            enrollments.move(connection, stopped.id, Enrolled.ACTIVE, None, now_ms)
            again = enrollments.by_id(connection, stopped.id)
            assert again is not None
            meet_others(connection, tools, reader.id, stopped.id, now_ms)
            _, funnel = tools.current(connection)[stopped.funnel]
            schedule_next(connection, tools, funnel, [(again, reader.zone)], now_ms)
        return True


def _has_withdrawn(connection: Connection, subscriber_id: int, purpose: Purpose) -> bool:
    rows = signups.last_consents(connection, subscriber_id)
    return any(row.purpose == purpose and row.action == Action.WITHDRAWN for row in rows)


def _record(
    connection: Connection, subscriber_id: int, action: Action, now_ms: int, purposes: frozenset[Purpose]
) -> None:
    """Appends `action` for these consents, in the wordings last agreed to, unless it is what they say already."""
    for row in signups.last_consents(connection, subscriber_id):
        if row.purpose in purposes and row.action != action:
            wordings = {row.purpose: row.wording_hash}
            signups.record_consents(
                connection, subscriber_id, row.signup_id, wordings, row.revision_id, row.locale, action, now_ms
            )
