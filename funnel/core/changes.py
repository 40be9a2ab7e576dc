"""What differs between two revisions of a funnel, lesson by lesson."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import time
from difflib import unified_diff
from enum import StrEnum

from funnel.core.lesson import Source
from funnel.core.moving import Late, Policy
from funnel.core.schedule import WEEKDAYS, Timing, span_text
from funnel.core.sequence import Condition, Funnel, Lesson, Pattern, Until

_NOT_RULES = ("key", "source", "timing")


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"


@dataclass(frozen=True)
class Change:
    """What happened to one lesson. `says` are sentences about its place, rules and subject; `text` a unified diff."""

    pattern: str
    lesson: str
    kind: Kind
    says: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


def changes(before: Funnel, after: Funnel) -> list[Change]:
    """Every lesson that differs, pattern by pattern, in the new order; removed ones last."""
    keys = dict.fromkeys((*after.patterns, *before.patterns))
    return [each for key in keys for each in _pattern(key, before.patterns.get(key), after.patterns.get(key))]


def late(before: Funnel, after: Funnel, policy: Policy) -> dict[str, Late]:
    """The lessons that come to their places while people are in the sequence."""
    inserted = Late.CAUGHT_UP if policy == Policy.CATCH_UP else Late.PASSED
    found: dict[str, Late] = {}
    for each in changes(before, after):
        if each.pattern not in before.patterns:
            continue
        if each.kind == Kind.ADDED or (each.kind != Kind.REMOVED and _for_others(before, after, each.lesson)):
            found[each.lesson] = inserted
        elif each.kind == Kind.MOVED:
            found[each.lesson] = Late.MOVED
    return found


def _for_others(before: Funnel, after: Funnel, key: str) -> bool:
    """Whether the lesson is for other readers than before: whoever it passed by may be meant now."""
    old, new = (found[1] for funnel in (before, after) if (found := funnel.lesson(key)))
    return (old.only_if, old.unless) != (new.only_if, new.unless) or before.alike.get(key) != after.alike.get(key)


def touches_people(before: Funnel, after: Funnel, policy: Policy) -> bool:
    """Whether somebody who waits may have to wait for something else, or for another moment, by this policy."""
    if policy == Policy.ALONG and _shape(before, timed=True) != _shape(after, timed=True):
        return True
    return _shape(before, timed=False) != _shape(after, timed=False)


def after_all(funnel: Funnel) -> frozenset[str]:
    """The lessons that reach those, too, who had finished."""
    return frozenset(each.key for pattern in funnel.patterns.values() for each in pattern.lessons if each.after_all)


def _shape(funnel: Funnel, *, timed: bool) -> object:
    """All that decides what comes next, and when: not what it says."""
    silent = Source("", "", ())
    lessons = {
        key: [
            replace(lesson, source=silent, timing=lesson.timing if timed else Timing(0)) for lesson in pattern.lessons
        ]
        for key, pattern in funnel.patterns.items()
    }
    return (lessons, funnel.schedule, funnel.timezone) if timed else lessons


def _pattern(key: str, before: Pattern | None, after: Pattern | None) -> Iterator[Change]:
    old = {lesson.key: lesson for lesson in before.lessons} if before else {}
    new = {lesson.key: lesson for lesson in after.lessons} if after else {}
    moved = moved_keys(list(old), list(new))
    for place, lesson in enumerate(new.values()):
        if lesson.key not in old:
            yield Change(key, lesson.key, Kind.ADDED, (_where(list(new), place), *_rules(lesson)))
            continue
        told = [_where(list(new), place)] if lesson.key in moved else []
        says = (*told, *_differences(old[lesson.key], lesson))
        text = tuple(_text_diff(old[lesson.key].source, lesson.source))
        if says or text:
            yield Change(key, lesson.key, Kind.MOVED if lesson.key in moved else Kind.CHANGED, says, text)
    for gone in old.keys() - new.keys():
        yield Change(key, gone, Kind.REMOVED)


def moved_keys(before: Sequence[str], after: Sequence[str]) -> frozenset[str]:
    """The fewest keys that have to be lifted out for the others to stand in the same order as before."""
    places = {key: place for place, key in enumerate(before)}
    common = [key for key in after if key in places]
    ends: list[int] = []  # the lowest place at which a rising run of each length ends
    chains: list[tuple[str, ...]] = []
    for key in common:
        length = bisect_left(ends, places[key])
        chain = (*(chains[length - 1] if length else ()), key)
        ends[length : length + 1], chains[length : length + 1] = [places[key]], [chain]
    return frozenset(common).difference(chains[-1] if chains else ())


def _where(keys: Sequence[str], place: int) -> str:
    return f"now after {keys[place - 1]}" if place else "now first"


def _rules(lesson: Lesson) -> Iterator[str]:
    for name, value in _fields(lesson).items():
        if value:
            yield f"{name}: {value}"


def _differences(before: Lesson, after: Lesson) -> Iterator[str]:
    old, new = _fields(before), _fields(after)
    for name in new:
        if old[name] != new[name]:
            yield f"{name}: {old[name] or 'none'} → {new[name] or 'none'}"


def _fields(lesson: Lesson) -> dict[str, str]:
    """Every rule of a lesson, its subject and preview, by the names that marketers use."""
    own = {field.name: getattr(lesson, field.name) for field in fields(lesson) if field.name not in _NOT_RULES}
    timing = {field.name: getattr(lesson.timing, field.name) for field in fields(lesson.timing)}
    timing["wait"] = span_text(timing.pop("wait_ms"))
    days = sorted(timing.pop("days"))
    timing["days"] = " ".join(WEEKDAYS[day] for day in days) if len(days) < len(WEEKDAYS) else ""
    written = {**timing, **own, "subject": lesson.source.subject, "preview": lesson.source.preview}
    return {name.replace("_", "-"): _said(value) for name, value in sorted(written.items())}


def _said(value: object) -> str:
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, Until):
        return f"{value.event}, at most {span_text(value.most_ms)}"
    if isinstance(value, Condition):
        return f"{value.trait} is {' or '.join(sorted(value.values))}"
    if isinstance(value, tuple):
        return " and ".join(map(_said, value))
    return str(value) if value else ""


def _text_diff(before: Source, after: Source) -> Iterator[str]:
    lines = unified_diff(_lines(before), _lines(after), lineterm="", n=1)
    return (line for line in lines if not line.startswith(("---", "+++")))


def _lines(source: Source) -> list[str]:
    """The body as it was written, near enough to compare."""
    lines: list[str] = []
    for block in source.blocks:
        if block.kind != "text":
            lines.append(f"::: {block.kind} {block.argument}".rstrip())
        lines += block.markdown.strip("\n").split("\n")
        if block.kind != "text":
            lines.append(":::")
    return lines
