"""Everything that would be kept about an invented reader, in the shape of flow/takeout.py. Nobody's."""

from collections.abc import Iterator

from funnel.core.consent import Action, Enrolled
from funnel.core.lesson import fill
from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.core.sequence import Funnel, Lesson
from funnel.flow.takeout import FORMAT, Data, moment

_DAYS = 5  # since the reader confirmed
_HAD = 2


def data(
    funnel: Funnel, pattern: str, secondary: str | None, locale: str, person: tuple[str, str], now_ms: int
) -> Data:
    """What is kept about a reader who has had two notes of a pattern; `person` is (address, first name)."""
    spoken, began_ms = funnel.read_in(locale), now_ms - _DAYS * DAY_MS
    began, address, first_name = moment(began_ms), *person
    return {
        "format": FORMAT,
        "made": moment(now_ms),
        "person": {
            **{"address": address, "first_name": first_name, "time_zone": funnel.timezone, "language": locale},
            **{"mail": "note", "standing": "active", "known_since": began, "standing_since": began},
            "address_since": None,
        },
        "consents": list(_consents(spoken, began_ms)),
        "sign_ups": [
            {"site": spoken.title, "state": "confirmed", "at": began, "language": locale, "asked_for": None},
        ],
        "courses": [_course(spoken, pattern, secondary, began_ms)],
        "notes": [
            _note(lesson, spoken.title, began_ms + place * DAY_MS)
            for place, lesson in enumerate(spoken.patterns[pattern].lessons[:_HAD])
        ],
        "service_mails": [
            _mail("confirm", spoken.title, began_ms - HOUR_MS, began_ms),
            _mail("rights", spoken.title, now_ms, now_ms + HOUR_MS),
        ],
        "suppression": None,
    }


def _consents(funnel: Funnel, at_ms: int) -> Iterator[Data]:
    for action, at in ((Action.GIVEN, at_ms - HOUR_MS), (Action.CONFIRMED, at_ms)):
        for purpose, wording in funnel.wordings.items():
            said = {"purpose": purpose, "action": action.value, "at": moment(at), "wording": wording}
            yield {**said, "language": funnel.locale, "revision": ""}


def _course(funnel: Funnel, pattern: str, secondary: str | None, began_ms: int) -> Data:
    about = {"course": 1, "site": funnel.title, "pattern": pattern, "pattern_name": funnel.patterns[pattern].name}
    about |= {"second_pattern": secondary, "pace": "as-written", "language": funnel.locale}
    about |= {"state": Enrolled.ACTIVE.value, "why": None, "began": moment(began_ms), "changed": moment(began_ms)}
    return {**about, "next_note": moment(began_ms + (_DAYS + 1) * DAY_MS), "kept_for_next_note": None, "pressed": []}


def _note(lesson: Lesson, site: str, at_ms: int) -> Data:
    at = moment(at_ms)
    about = {"course": 1, "site": site, "note": lesson.key, "subject": fill(lesson.source.subject, {"first_name": ""})}
    about |= {"mail": "note", "due": at, "handed_over": at, "settled": at, "state": "accepted", "why": None}
    return {**about, "provider": "sendgrid", "events": []}


def _mail(kind: str, site: str, at_ms: int, until_ms: int) -> Data:
    about = {"kind": kind, "site": site, "asked": moment(at_ms), "state": "sent", "why": None}
    return {**about, "link_works_until": moment(until_ms), "to_another_address": None}
