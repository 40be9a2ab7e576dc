"""What nobody can get, receive or see; and which lesson speaks to whom."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from funnel.core.lesson import TRAITS, Block
from funnel.core.quiz import Outcome, Quiz, secondary_beside
from funnel.core.schedule import PACES
from funnel.core.sequence import Lesson, Pattern
from funnel.lint.courses import START_MS, course, readers, received
from funnel.lint.finding import Finding
from funnel.lint.subject import Subject
from funnel.lint.texts import File
from funnel.lint.timing import lessons_by_file, original
from funnel.respondents import results

_ALWAYS_SHOWN = "safety"  # every result page holds this snippet


def outcomes(subject: Subject) -> Iterator[Finding]:
    """Outcomes that none of many invented people gets, the plainest kinds among them."""
    quiz, file = subject.funnel.quiz, f"{subject.here}quiz.toml"
    found: set[str] = {result.primary or result.outcome for _, result in results(quiz)}
    for pattern in quiz.patterns:
        if pattern not in found:
            yield Finding(file, subject.line(file, "questions"), "QZ201", f"nobody is told {pattern}")
    for outcome in (Outcome.TOO_CLOSE, Outcome.AT_EASE, Outcome.TOO_FEW):
        if outcome not in found:
            place = subject.line(file, f"outcomes.{outcome.value}")
            yield Finding(file, place, "QZ201", f"nobody is told {outcome.value!r}")


def answers(subject: Subject) -> Iterator[Finding]:
    """Answers that nobody can tell apart, or whose question moves nothing."""
    file = f"{subject.here}quiz.toml"
    for number, question in enumerate(subject.funnel.quiz.questions, 1):
        seen: set[str] = set()
        spoken_for = {frozenset(answer.weights.items()) for answer in question.answers}
        for place, answer in enumerate(question.answers, 1):
            line = subject.line(file, f"questions[{number}].answers[{place}].text")
            plain = " ".join(answer.text.lower().split()).rstrip(".!")
            if plain in seen:
                yield Finding(file, line, "QZ202", f"{answer.key!r} reads like another answer to {question.key!r}")
            seen.add(plain)
        if len(spoken_for) == 1:
            line = subject.line(file, f"questions[{number}]")
            yield Finding(file, line, "QZ203", f"every answer to {question.key!r} weighs the same")


def lessons(subject: Subject) -> Iterator[Finding]:
    for pattern in subject.funnel.patterns.values():
        got = {each.lesson.key for one in received(subject.funnel, pattern) for each in one}
        file = f"{subject.here}{pattern.key}.toml"
        for number, lesson in enumerate(pattern.lessons, 1):
            if lesson.key not in got:
                yield Finding(
                    file, subject.line(file, f"lessons[{number}]"), "SQ301", f"nobody receives {lesson.key!r}"
                )


def passages(subject: Subject) -> Iterator[Finding]:
    """Passages for a second pattern that nobody has beside this one, and second patterns that a lesson passes over."""
    pairs = secondaries(subject.funnel.quiz)
    for file, pattern, lesson in _mails(subject):
        spoken = {block.argument: block for block in lesson.source.blocks if block.kind == "secondary"}
        possible = {other for first, other in pairs if first == pattern.key}
        for argument in sorted(set(spoken) - possible):
            line = _line_of(file, spoken[argument])
            reason = f"nobody has {argument} as a second pattern beside {pattern.key}"
            yield Finding(file.path, line, "SQ302", reason)
        if spoken and (silent := sorted(possible - set(spoken))):
            reason = f"speaks to {', '.join(sorted(spoken))} and not to {', '.join(silent)}"
            yield Finding(file.path, file.body_line, "SQ305", reason)


def files(subject: Subject) -> Iterator[Finding]:
    used = {
        line.split()[-1]
        for path, file in subject.files.items()
        if path.startswith(subject.letters)
        for line in file.text.split("\n")
        if line.startswith("::: snippet ")
    }
    folder = f"{subject.letters}snippets/"
    for name in sorted(set(subject.funnel.snippets) - used - {_ALWAYS_SHOWN}):
        yield Finding(f"{folder}{name}.md", 0, "SQ303", f"no mail has '::: snippet {name}'")
    for path in sorted(subject.strays):
        yield Finding(path, 0, "SQ304", "is neither content nor a file of the lint")


def secondaries(quiz: Quiz) -> set[tuple[str, str]]:
    """(pattern, second pattern) that somebody can have, by the quiz's word or by their own choice."""
    return {
        (pattern, second)
        for _, result in results(quiz)
        for pattern in quiz.patterns
        if (second := secondary_beside(quiz, result, pattern))
    }


OWN, SHARED, NONE = "own", "shared", "none"  # words of their own, what everybody gets, or not this lesson
ALONE = "alone"


@dataclass(frozen=True)
class Row:
    """One lesson of the matrix: what the readers of each second pattern (or ALONE), pace and locale get.

    That is OWN, SHARED or NONE.
    """

    pattern: str
    lesson: str
    secondary: dict[str, str]
    pace: dict[str, str]
    locale: dict[str, str]


def matrix(subject: Subject) -> list[Row]:
    """lesson × pattern × trait × locale, in the order of the sequences."""
    locales = sorted({file.locale for file in subject.files.values()} | {subject.funnel.locale})
    keys = lessons_by_file(subject)
    translated = {
        (key, file.locale)
        for path, file in subject.files.items()
        if (key := keys.get(path) or keys.get(original(path)))
    }
    got = {
        (lesson.lesson.key, trait, getattr(reader, trait) or ALONE)
        for key in subject.funnel.patterns
        for reader in readers(subject.funnel, key)
        for lesson in course(subject.funnel, reader, START_MS)
        for trait in TRAITS
    }
    return [
        Row(
            pattern.key,
            lesson.key,
            {
                key: _cell(lesson, "secondary", key, got)
                for key in (ALONE, *subject.funnel.patterns)
                if key != pattern.key
            },
            {pace: _cell(lesson, "pace", pace, got) for pace in PACES},
            {locale: OWN if (lesson.key, locale) in translated else SHARED for locale in locales},
        )
        for pattern in subject.funnel.patterns.values()
        for lesson in pattern.lessons
    ]


def _cell(lesson: Lesson, kind: str, argument: str, got: Container[tuple[str, str, str]]) -> str:
    if (lesson.key, kind, argument) not in got:
        return NONE
    own = any((block.kind, block.argument) == (kind, argument) for block in lesson.source.blocks)
    return OWN if own else SHARED


def _mails(subject: Subject) -> Iterator[tuple[File, Pattern, Lesson]]:
    """Every lesson with the file that it stands in, in the funnel's own language."""
    for path, key in lessons_by_file(subject).items():
        if found := subject.funnel.lesson(key):
            yield subject.files[path], *found


def _line_of(file: File, block: Block) -> int:
    rows = file.text.split("\n")
    opening = f"::: {block.kind} {block.argument}"
    return next((number for number, row in enumerate(rows, 1) if row.strip() == opening), file.body_line)
