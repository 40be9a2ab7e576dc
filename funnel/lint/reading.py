"""How hard a text is to read, by the Flesch-Kincaid grade: a formula for English, so other languages are left out."""

import re
from collections.abc import Iterator

from funnel.core.lesson import fields, mark
from funnel.lint.finding import Finding
from funnel.lint.subject import Subject
from funnel.lint.texts import Passage

ENOUGH_WORDS = 100  # below that a grade says little
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*", re.IGNORECASE)
_END = re.compile(r"[.!?…]+[\"”’)*_]*(?:\s|$)|\n\s*\n|\n\s*[-*|#]")
_VOWELS = re.compile(r"[aeiouy]+")
_LONG_TEXTS = frozenset({"body", "text", "intro", "opening", "replies"})


def readable(subject: Subject) -> Iterator[Finding]:
    most = subject.settings.reading_grade
    for passage in subject.passages:
        if passage.locale.partition("-")[0] != "en" or passage.key not in _LONG_TEXTS:
            continue
        found = grade(plain(passage.text))
        if found and found > most:
            reason = f"reads like school grade {found:.1f}; at most {most:g}"
            yield Finding(passage.file, _line(subject, passage), "TX601", reason)


def grade(text: str) -> float | None:
    """The school grade of an English text; None where there is too little of it."""
    words = _WORD.findall(text)
    if len(words) < ENOUGH_WORDS:
        return None
    sentences = sum(bool(_WORD.search(part)) for part in _END.split(text))
    return 0.39 * len(words) / sentences + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def syllables(word: str) -> int:
    """About how many syllables an English word has."""
    plain_word = re.sub(r"[^a-z]", "", word.lower())
    found = len(_VOWELS.findall(plain_word))
    if plain_word.endswith("e") and not plain_word.endswith(("le", "ee", "ye")) and found > 1:
        found -= 1
    if re.search(r"[^aeiouydt]ed$|[^aeiouysxz]es$", plain_word) and found > 1 and not plain_word.endswith("e"):
        found -= 1
    return max(found, 1)


def plain(markdown: str) -> str:
    """The words that are read: no addresses, no fields, no marks."""
    text = mark(markdown, {field: field.fallback for field in fields(markdown)})
    text = re.sub(r"\]\([^)]*\)|https?://\S+", "", text)
    return re.sub(r"[\[\]*_`>]", "", text)


def _line(subject: Subject, passage: Passage) -> int:
    return subject.files[passage.file].body_line if passage.place == "body" else passage.first
