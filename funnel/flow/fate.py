"""The story of one delivery: when it was due, planned, started and settled; what was told of it since; and why."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from funnel.core.consent import RESCHEDULED
from funnel.core.delivery import NEVER_SENT, State
from funnel.core.reasons import Code
from funnel.flow.doctor import PUNCTUAL_MS, span
from funnel.flow.reckoning import Past, Reckoned
from funnel.flow.start import HAD, UNREADABLE
from funnel.flow.wording import Words, clock, revision
from funnel.store.tables import Record

ATTEMPTS = 31  # bits of the mask
UNEXPLAINED = (
    "neither the acceptance before it nor the course's own times give this time under any stored revision; "
    "what moved it is not on record"
)
PUT_OFF = "after a pause or an outage, by another day's room, or by a change since; which of them is not on record"
RULES: Mapping[str, str] = {
    RESCHEDULED: "the course had a newer turn when its batch was started: it was changed, and has another due row",
    HAD: "the ledger held this lesson for this reader under another delivery: nothing is sent twice",
    UNREADABLE: "the reader's key was erased, or opens nothing: there is no address any more",
    "withdrawn": "the reader withdrew: what it was has been deleted",
    "enrollment ended": "the course had ended when its batch was started",
    "enrollment paused": "the course was paused when its batch was started",
    "enrollment finished": "the course was finished when its batch was started",
    "unsubscribed": "the reader had unsubscribed when its batch was started",
    "suppressed": "the reader's address was suppressed when its batch was started",
    "pending": "the reader had not confirmed when its batch was started",
    "erased": "the reader had been erased when its batch was started",
    "refused for too long": "the provider said later so often that it was given up",
    "pace": "the domain it goes to had no room: the pace lets it wait",
    "unplanned": "nobody had started the batch for ten minutes: its due rows were restored",
    "lease ran out": "whoever had started it gave no sign of life: it may have been handed over",
    "nobody left to mail": "every reader in it was skipped",
    "assumed: no evidence in time": "nothing proved its fate in time: it counts as sent",
    "a person said so": "an operator counted it as sent",
}


@dataclass(frozen=True)
class Line:
    """Something that happened, or will: when (epoch milliseconds; None where no time is on record), what, and why."""

    at_ms: int | None
    what: str
    says: str
    delivery: int | None = None


def rule(reason: str | None) -> str:
    """The rule behind a recorded reason; a provider's own, which names nobody, as it is."""
    return RULES.get(reason or "", reason or "no reason on record")


def fate(
    past: Past, row: Record, words: Words, reckoned: Reckoned | None, evidence: Callable[[], str]
) -> Iterator[Line]:
    """One delivery. `evidence` tells what is known of its batch, should nobody know its fate."""
    if row.lesson_id is None:
        yield Line(None, "withdrawn", rule("withdrawn"), row.id)
        return
    yield scheduled(words, row.lesson_key, row.due_ms, reckoned, row.id)
    if row.batch_id is not None:
        yield from _batch(row, words)
    if row.state is not None:
        yield _own(past, row)
    elif row.batch_state == State.UNKNOWN:
        yield Line(None, "unknown", f"nobody knows its fate: {rule(row.batch_reason)}; {evidence()}", row.id)
    holder = past.entries.get(row.lesson_id)
    if holder not in (None, row.id):
        yield Line(None, "ledger", f"the ledger holds this lesson for this reader under delivery {holder}", row.id)
    for event in past.events:
        if event.delivery_id == row.id:
            yield _told(event)


def scheduled(words: Words, lesson: str, due_ms: int, reckoned: Reckoned | None, delivery: int | None) -> Line:
    """How a lesson came to be due when it is."""
    name = words.lesson(lesson)
    if reckoned is None:
        return Line(None, "scheduled", f"{name}, due at {clock(due_ms)}: {UNEXPLAINED}", delivery)
    reasons = "; ".join(words.reason(each) for each in reckoned.step.reasons if each.code != Code.HAD)
    said_ms = reckoned.step.due_ms
    says = f"{name}, due at {clock(said_ms)}, since {reckoned.what}, by {revision(reckoned.revision_id)}: {reasons}"
    if said_ms != due_ms:
        says += f"; put off to {clock(due_ms)}: {PUT_OFF}"
    return Line(reckoned.from_ms, "scheduled", says, delivery)


def _batch(row: Record, words: Words) -> Iterator[Line]:
    first = not row.batch_retries and not row.batch_resent and row.batch_attempt <= 1
    place = f"batch {row.batch_uid} of {row.batch_size}, for {words.segment(row.batch_segment)}"
    by = revision(row.batch_revision_id)
    if first and row.batch_planned_ms <= (row.batch_started_ms or row.batch_planned_ms):
        yield Line(row.batch_planned_ms, "planned", f"into {place}, by {by}{_late(row)}", row.id)
    else:
        again = f"{row.batch_retries} times refused for now, {row.batch_resent} times resent after a doubt"
        waits = f"; {rule(row.batch_reason)}" if row.batch_state == State.PLANNED and row.batch_reason else ""
        yield Line(row.batch_planned_ms, "planned again", f"{place}, by {by}: {again}{waits}", row.id)
    if row.batch_started_ms is not None:
        says = f"attempt {row.batch_attempt}, by {row.batch_provider}"
        yield Line(row.batch_started_ms, "started", says, row.id)
    if row.batch_settled_ms is not None and row.state not in NEVER_SENT:
        yield _settled(row)


def _late(row: Record) -> str:
    late_ms = row.batch_planned_ms - row.due_ms
    if late_ms <= PUNCTUAL_MS:
        return ""
    return f"; {span(late_ms)} after it was due, and what held it until then is not on record"


def _settled(row: Record) -> Line:
    says = rule(row.batch_reason) if row.batch_reason else f"{row.batch_provider or 'nobody'} answered"
    proven = [attempt for attempt in range(1, ATTEMPTS) if row.batch_proven >> attempt & 1]
    if proven:
        says += f"; known to be accepted: attempt {', '.join(map(str, proven))}"
    if len(proven) > 1:
        says += ", so the reader may have it twice"
    return Line(row.batch_settled_ms, str(row.batch_state), says, row.id)


def _own(past: Past, row: Record) -> Line:
    """A fate that is not the batch's."""
    says = rule(row.reason)
    if row.reason == RESCHEDULED:
        says = f"{says} (turn {row.turn}; it is {past.course.turn} now)"
    at_ms = row.batch_started_ms if row.state == State.SKIPPED else None
    if row.state == State.FAILED:
        at_ms = row.batch_settled_ms
    if row.state not in NEVER_SENT and row.reason is None:
        says = "by what the provider told later"
    return Line(at_ms, str(row.state), says, row.id)


def _told(event: Record) -> Line:
    why = f", {event.reason}" if event.reason else ""
    applied = "" if event.handled_ms is not None else "; not applied yet"
    says = f"the provider told of attempt {event.attempt}{why}; it came {clock(event.received_ms)}{applied}"
    return Line(event.at_ms, event.kind, says, event.delivery_id)
