"""Wording that a schedule makes false: days, times of day, stretches of time, held against what readers really get."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time

from funnel.lint.courses import received
from funnel.lint.finding import Finding
from funnel.lint.lexicon import Language, any_of, straight
from funnel.lint.subject import Subject
from funnel.lint.texts import Passage


@dataclass
class Facts:
    """Of one lesson, over all readers: days to the next and since the one before, local times, weekdays (0: Monday)."""

    ahead: set[int] = field(default_factory=set)
    since: set[int] = field(default_factory=set)
    times: set[time] = field(default_factory=set)
    weekdays: set[int] = field(default_factory=set)


def shifting(subject: Subject) -> Iterator[Finding]:
    facts = _facts(subject)
    by_file = lessons_by_file(subject)
    for passage, known in subject.spoken():
        key = by_file.get(passage.file) or by_file.get(original(passage.file))
        if key and key in facts and passage.place in ("subject", "preview", "body"):
            yield from _false_days(passage, known.language, facts[key])
            yield from _false_hours(passage, known.language, facts[key])


def _facts(subject: Subject) -> Mapping[str, Facts]:
    found: dict[str, Facts] = {}
    for pattern in subject.funnel.patterns.values():
        for one in received(subject.funnel, pattern):
            for place, each in enumerate(one):
                fact = found.setdefault(each.lesson.key, Facts())
                fact.times.add(each.local.time().replace(second=0, microsecond=0))
                fact.weekdays.add(each.local.weekday())
                if each.days_since is not None:
                    fact.since.add(each.days_since)
                    found[one[place - 1].lesson.key].ahead.add(each.days_since)
    return found


def lessons_by_file(subject: Subject) -> dict[str, str]:
    """file → lesson key. Told by the mail itself, so that it holds however the lessons are listed."""
    by_line = {
        (lesson.source.subject, lesson.source.preview): lesson.key
        for pattern in subject.funnel.patterns.values()
        for lesson in pattern.lessons
    }
    found = {}
    for file in subject.files.values():
        head = {passage.place: passage.text.strip() for passage in file.passages if passage.place != "body"}
        if key := by_line.get((head.get("subject", ""), head.get("preview", ""))):
            found[file.path] = key
    return found


def original(file: str) -> str:
    """The file that a translation stands beside."""
    return re.sub(r"\.[a-z]{2}(?:-[A-Za-z]{2,4})?\.md$", ".md", file)


def _false_days(passage: Passage, language: Language, facts: Facts) -> Iterator[Finding]:
    for words, said, real, other in _claims(passage, language, facts):
        if real != {said}:
            yield _finding(passage, words, "TX403" if words.re.groups else "TX401", other, real)
    named = "|".join(language.weekdays)
    before = "|".join(language.weekday_before)
    for found in re.finditer(rf"\b(?:{before})\s+({named})\b", passage.text, re.IGNORECASE):
        if facts.weekdays != {language.weekdays.index(found[1].lower())}:
            reason = (
                f"“{' '.join(found[0].split())}” holds on one weekday; this leaves on {len(facts.weekdays)} of them"
            )
            yield Finding(passage.file, passage.line_of(found.start(), found[0]), "TX401", reason)


def _claims(passage: Passage, language: Language, facts: Facts) -> Iterator[tuple[re.Match[str], int, set[int], str]]:
    """(the words, the days they speak of, the real ones, to which note)."""
    text = straight(passage.text)
    sides = (
        (language.forward, language.forward_days, facts.ahead, "the next note"),
        (language.backward, language.backward_days, facts.since, "the note before"),
    )
    for phrases, counted, real, other in sides:
        for found in any_of(sorted(phrases, key=len, reverse=True)).finditer(text):
            yield found, phrases[" ".join(found[0].lower().split())], real, other
        for found in re.finditer(counted, text, re.IGNORECASE):
            number = found[1].lower()
            if number.isdecimal() or number in language.numbers:
                yield found, int(number) if number.isdecimal() else language.numbers[number], real, other


def _finding(passage: Passage, found: re.Match[str], code: str, other: str, real: set[int]) -> Finding:
    written = passage.text[found.start() : found.end()]
    days = f"{' or '.join(map(str, sorted(real)[:4]))} {'day' if real == {1} else 'days'}"
    told = f"{other} is {days} away" if real else f"there is no {other.removeprefix('the ')}"
    reason = f"“{' '.join(written.split())}”: {told}"
    return Finding(passage.file, passage.line_of(found.start(), written), code, reason)


def _false_hours(passage: Passage, language: Language, facts: Facts) -> Iterator[Finding]:
    for phrase, before in language.hours.items():
        for found in any_of([phrase]).finditer(straight(passage.text)):
            if late := sorted(each for each in facts.times if each.hour >= before):
                written = passage.text[found.start() : found.end()]
                times = ", ".join(f"{each:%H:%M}" for each in late[:3])
                reason = f"“{' '.join(written.split())}”: this may leave at {times}, and be read any time after"
                yield Finding(passage.file, passage.line_of(found.start(), written), "TX402", reason)
