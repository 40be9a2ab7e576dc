"""What comes next for somebody in a sequence, when, and why. Everything that schedules asks here.

A lesson that was passed over is not come back to, unless it is for everybody: whoever missed one of those, because it
was written or moved later, gets it next. Nothing that was had, or the same as it, comes again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from funnel.core.reasons import Code, Reason
from funnel.core.schedule import DAY_MS, Awaited, due, is_zone, local_day, put_off_ms
from funnel.core.sequence import Condition, Funnel, Goal, Lesson, Pattern


@dataclass(frozen=True)
class Reader:
    """What a schedule reads of one enrollment.

    `zone` is an IANA name, or anything: then the funnel's counts. `events` are those reached in this enrollment, name →
    instant; `mailed` the instants of lessons sent to this person lately, and booked, in any funnel.
    """

    pattern: str
    secondary: str | None
    pace: str
    zone: str
    locale: str = ""
    events: Mapping[str, int] = field(default_factory=dict)
    mailed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Step:
    """The lesson that comes next, the instant at which it is due (epoch milliseconds), and why.

    `reasons` begin with the lessons that were passed over for it, in order; then what made the instant.
    """

    lesson: Lesson
    due_ms: int
    reasons: tuple[Reason, ...] = ()


def next_step(funnel: Funnel, reader: Reader, had: Collection[str], from_ms: int, day_ms: int = DAY_MS) -> Step | None:
    """The next lesson of the reader's sequence, counted from `from_ms`, when the one before it was accepted.

    `had` are the keys of the lessons that this person has had, of any sequence. None when there is no more to send.
    """
    pattern = funnel.patterns.get(reader.pattern)
    return _first(funnel, reader, pattern.lessons, pattern, had, from_ms, day_ms) if pattern else None


def after_finish(
    funnel: Funnel, reader: Reader, had: Collection[str], from_ms: int, day_ms: int = DAY_MS
) -> Step | None:
    """What somebody gets who had finished: the first lesson for them that is marked after-all. Else finished stays
    finished: None."""
    pattern = funnel.patterns.get(reader.pattern)
    if pattern is None:
        return None
    lessons = [each for each in pattern.lessons if each.after_all]
    return _first(funnel, reader, lessons, pattern, had, from_ms, day_ms)


def step_after(funnel: Funnel, reader: Reader, lesson: str, from_ms: int, day_ms: int = DAY_MS) -> Step | None:
    """The step from `lesson` on for whoever has had none of those behind it, read off the sequence alone.

    None at the end of the sequence, and where more must be known than pattern, secondary, pace and zone: the general
    answer is next_step's.
    """
    pattern = funnel.patterns.get(reader.pattern)
    if pattern is None or not _calm(funnel, pattern):
        return None
    keys = [each.key for each in pattern.lessons]
    if lesson not in keys or pattern.lessons[keys.index(lesson)].after_all:
        return None
    for following in pattern.lessons[keys.index(lesson) + 1 :]:
        if following.reads & {"locale", "event"} or following.key in funnel.alike:
            return None
        if _refusal(following, reader) is None:
            return timed(funnel, reader, following, from_ms, day_ms)
    return None


def timed(funnel: Funnel, reader: Reader, lesson: Lesson, from_ms: int, day_ms: int = DAY_MS) -> Step:
    """This lesson for this reader: the instant at which it is due, counted from `from_ms`."""
    zone = _zone(funnel, reader)
    reasons = () if zone == reader.zone else (Reason(Code.ZONE, zone),)
    until = lesson.until
    awaited = Awaited(until.event, until.most_ms, reader.events.get(until.event)) if until else None
    found = due(from_ms, lesson.timing, zone, reader.pace, day_ms, awaited, _full_days(funnel, reader, zone))
    cap = str(funnel.schedule.daily_cap)
    told = (Reason(each.code, cap) if each.code == Code.CAP else each for each in found.reasons)
    return Step(lesson, found.ms, (*reasons, *told))


def put_off(funnel: Funnel, reader: Reader, lesson: Lesson, due_at_ms: int, now_ms: int) -> int:
    """When a lesson comes that was due at `due_at_ms` and has not left by `now_ms`, after a pause or an outage, say.

    What answers the reader's own act comes at once however late it is. Others come at their own local hour.
    """
    if lesson.timing.at_once and lesson.until is None:
        return due_at_ms
    zone = _zone(funnel, reader)
    return put_off_ms(due_at_ms, now_ms, lesson.timing, zone, _full_days(funnel, reader, zone))


def goal_reached(pattern: Pattern, events: Collection[str]) -> Goal | None:
    """The first goal of a sequence whose event has been reached."""
    return next((goal for goal in pattern.goals if goal.event in events), None)


def _first(
    funnel: Funnel,
    reader: Reader,
    lessons: Iterable[Lesson],
    pattern: Pattern,
    had: Collection[str],
    from_ms: int,
    day_ms: int,
) -> Step | None:
    """The first of `lessons` that is for this reader."""
    place = pattern.places
    furthest = max((number for key, number in place.items() if key in had), default=-1)
    passed: list[Reason] = []
    for lesson in lessons:
        refusal = _had(funnel, lesson, had)
        if refusal is None and lesson.conditional and place[lesson.key] < furthest:
            refusal = Reason(Code.GONE_BY)
        refusal = refusal or _refusal(lesson, reader)
        if refusal is None:
            step = timed(funnel, reader, lesson, from_ms, day_ms)
            return Step(lesson, step.due_ms, (*passed, *step.reasons))
        passed.append(Reason(refusal.code, refusal.value, lesson.key))
    return None


def _had(funnel: Funnel, lesson: Lesson, had: Collection[str]) -> Reason | None:
    if lesson.key in had:
        return Reason(Code.HAD)
    same = sorted(key for key in funnel.alike.get(lesson.key, ()) if key in had)
    return Reason(Code.SAME_AS, same[0]) if same else None


def _refusal(lesson: Lesson, reader: Reader) -> Reason | None:
    """Why the lesson is not for this reader, by its conditions."""
    for condition in lesson.only_if:
        if not _holds(condition, reader):
            return Reason(Code.ONLY_IF, _written(condition))
    for condition in lesson.unless:
        if _holds(condition, reader):
            return Reason(Code.UNLESS, _written(condition))
    return None


def _holds(condition: Condition, reader: Reader) -> bool:
    return any(value in condition.values for value in _values(condition.trait, reader))


def _values(trait: str, reader: Reader) -> Iterator[str]:
    if trait == "event":
        yield from reader.events
    elif trait == "locale":
        locale = reader.locale.lower()
        yield from (locale, locale.partition("-")[0])
    elif value := {"secondary": reader.secondary, "pace": reader.pace}[trait]:
        yield value


def _written(condition: Condition) -> str:
    return f"{condition.trait} is {' or '.join(sorted(condition.values))}"


def _zone(funnel: Funnel, reader: Reader) -> str:
    return reader.zone if is_zone(reader.zone) else funnel.timezone


def _full_days(funnel: Funnel, reader: Reader, zone: str) -> frozenset[date]:
    """The reader's local days on which they have had as many mails as the funnel allows."""
    cap = funnel.schedule.daily_cap
    if cap is None or len(reader.mailed) < cap:
        return frozenset()
    days = [local_day(each, zone) for each in reader.mailed]
    return frozenset(day for day in days if days.count(day) >= cap)


def _calm(funnel: Funnel, pattern: Pattern) -> bool:
    """Whether this sequence alone never brings more mails in a day than the cap allows, but for the day that a lesson
    shares with the one before it."""
    cap = funnel.schedule.daily_cap
    if cap is None or cap == 1:
        return True
    gaps = [each.timing.wait_ms - (DAY_MS // 2 if each.timing.at else 0) for each in pattern.lessons[1:]]
    return cap * min(gaps, default=DAY_MS) > DAY_MS + DAY_MS // 24
