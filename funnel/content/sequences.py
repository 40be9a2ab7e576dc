"""What must be true of a funnel's sequences beyond the shape of their files: nothing in them can never be."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import time

from funnel.content.texts import Texts
from funnel.core.schedule import PACES, Timing
from funnel.core.sequence import Condition, Lesson, Pattern

Found = Iterator[tuple[str, str]]  # place, message


def check_sequences(texts: Texts, here: str, patterns: Mapping[str, Pattern], keys: Sequence[str]) -> None:
    """Reports every problem of the sequences in the folder `here`; `keys` are the patterns that there should be."""
    _duplicates(texts, here, patterns)
    for pattern in patterns.values():
        path = f"{here}{pattern.key}.toml"
        before: list[Lesson] = []
        for number, lesson in enumerate(pattern.lessons, 1):
            for place, message in _problems(lesson, before, pattern, keys):
                texts.problem(path, f"lessons[{number}].{place}", message)
            before.append(lesson)
        for place, message in (*_goals(pattern, patterns, keys), *_same(pattern, patterns, keys)):
            texts.problem(path, place, message)


def _duplicates(texts: Texts, here: str, patterns: Mapping[str, Pattern]) -> None:
    seen: dict[str, str] = {}
    for pattern in patterns.values():
        for lesson in pattern.lessons:
            file = f"{here}{pattern.key}.toml"
            if lesson.key in seen:
                texts.problem(file, "lessons", f"key {lesson.key!r} is also used in {seen[lesson.key]}")
            seen[lesson.key] = file


def _problems(lesson: Lesson, before: Sequence[Lesson], pattern: Pattern, keys: Sequence[str]) -> Found:
    yield from _hours(lesson.timing)
    if before and lesson.timing.at_once and not lesson.until and not all(each.conditional for each in before):
        yield "wait", "is none: it would come together with the one before it; give it a wait, or an hour"
    offered = {event for each in before for event in each.source.events}
    later = {event for each in pattern.lessons for event in each.source.events} - offered
    if lesson.until and lesson.until.event not in offered:
        yield "until", _unknown_event(lesson.until.event, later, offered)
    yield from _conditions("only-if", lesson.only_if, pattern, keys, offered, later)
    yield from _conditions("unless", lesson.unless, pattern, keys, offered, later)
    for wanted in lesson.only_if:
        against = next((each.values for each in lesson.unless if each.trait == wanted.trait), frozenset())
        if wanted.values <= against:
            yield "unless", f"and only-if leave nobody: {wanted.trait} {', '.join(sorted(wanted.values))} is in both"
    repeated = {event for event in lesson.source.events if lesson.source.events.count(event) > 1}
    for event in sorted(repeated):
        yield "email", f"has two buttons for the event {event!r}"


def _hours(timing: Timing) -> Found:
    at, first, quiet = timing.at, timing.not_before, timing.quiet
    if at is not None and first is not None and at < first:
        yield "at", f"{at:%H:%M} is earlier than not-before {first:%H:%M}"
    if quiet is None or timing.at_once:
        return
    written = f"{quiet[0]:%H:%M}-{quiet[1]:%H:%M}"
    if at is not None and _within(at, quiet):
        yield "at", f'{at:%H:%M} lies in the quiet hours {written}; choose another hour, or quiet = "none" here'
    if first is not None and quiet[1] < quiet[0] <= first:
        yield "not-before", f"{first:%H:%M} and the quiet hours {written} leave no hour of the day"


def _within(clock: time, quiet: tuple[time, time]) -> bool:
    begin, end = quiet
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def _conditions(
    place: str,
    conditions: Sequence[Condition],
    pattern: Pattern,
    keys: Sequence[str],
    offered: set[str],
    later: set[str],
) -> Found:
    known = {"secondary": [key for key in keys if key != pattern.key], "pace": list(PACES)}
    for condition in conditions:
        for value in sorted(condition.values):
            if condition.trait == "event" and value not in offered:
                yield f"{place}.event", _unknown_event(value, later, offered)
            elif condition.trait in known and value not in known[condition.trait]:
                names = ", ".join(known[condition.trait])
                yield f"{place}.{condition.trait}", f"{value!r} can never be; use {names}"


def _unknown_event(event: str, later: set[str], offered: set[str]) -> str:
    if event in later:
        return f"no lesson before this one offers the event {event!r}: it waits for itself, or for what comes later"
    known = ", ".join(sorted(offered)) or "none"
    return f"no lesson before this one offers the event {event!r}; offered are {known}"


def _goals(pattern: Pattern, patterns: Mapping[str, Pattern], keys: Sequence[str]) -> Found:
    offered = {event for lesson in pattern.lessons for event in lesson.source.events}
    events = [goal.event for goal in pattern.goals]
    for number, goal in enumerate(pattern.goals, 1):
        place = f"goals[{number}]"
        if goal.event not in offered:
            yield f"{place}.event", f"no lesson of this sequence offers the event {goal.event!r}"
        if goal.event in events[: number - 1]:
            yield f"{place}.event", f"{goal.event!r} is already the event of another goal"
        if goal.to is not None and (goal.to not in keys or goal.to == pattern.key):
            names = ", ".join(key for key in keys if key != pattern.key)
            yield f"{place}.to", f"{goal.to!r} is no other pattern; use {names}"
        elif goal.to is not None and _comes_back(pattern, goal.event, patterns):
            yield f"{place}.to", f"leads in a circle: the event {goal.event!r} brings readers back to {pattern.key!r}"


def _comes_back(pattern: Pattern, event: str, patterns: Mapping[str, Pattern]) -> bool:
    seen: set[str] = set()
    here: Pattern | None = pattern
    while here is not None and here.key not in seen:
        seen.add(here.key)
        onward = next((goal.to for goal in here.goals if goal.event == event), None)
        here = patterns.get(onward) if onward else None
    return here is not None and here.key == pattern.key


def _same(pattern: Pattern, patterns: Mapping[str, Pattern], keys: Sequence[str]) -> Found:
    everywhere = {lesson.key: (each.key, lesson) for each in patterns.values() for lesson in each.lessons}
    for number, lesson in enumerate(pattern.lessons, 1):
        place = f"lessons[{number}].same-as"
        if lesson.same_as is None:
            continue
        if lesson.same_as not in everywhere:
            if len(patterns) == len(keys):
                yield place, f"there is no lesson {lesson.same_as!r}"
        elif everywhere[lesson.same_as][0] == pattern.key:
            yield place, f"{lesson.same_as!r} is in the same sequence: one of the two would never be sent"
        elif _circles(lesson, {key: found for key, (_, found) in everywhere.items()}):
            yield place, "leads in a circle; let all of them name one and the same lesson"


def _circles(lesson: Lesson, everywhere: Mapping[str, Lesson]) -> bool:
    seen: set[str] = set()
    here: Lesson | None = lesson
    while here is not None and here.key not in seen:
        seen.add(here.key)
        here = everywhere.get(here.same_as) if here.same_as else None
    return here is not None and here.key == lesson.key
