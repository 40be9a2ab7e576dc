"""Reads a funnel's folders into core types, or names everything that is wrong with them."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from markdown_it import MarkdownIt
from pydantic import ValidationError

from funnel import forms
from funnel.core import lesson as grammar
from funnel.core.consent import Purpose
from funnel.core.lesson import Source
from funnel.core.quiz import NONE, SKIP, Answer, Outcome, OutcomeText, Question, Quiz, Rules
from funnel.core.schedule import Timing
from funnel.core.sequence import (
    Controller,
    Educator,
    Funnel,
    HelpEntry,
    HelpKind,
    Lesson,
    Page,
    Pattern,
    Review,
    Sender,
    Support,
)

Files = Mapping[str, bytes]
PAGE_FIELDS = frozenset({"quiz_url", "support_url"})
LARGEST_FILE = 1_000_000
_SUFFIXES = (".toml", ".md")
_F = TypeVar("_F", bound=forms.Form)


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong in the content: the file, the place in it (a key path or a line), and what to do."""

    file: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.message}" if self.place else f"{self.file}: {self.message}"


class ContentError(Exception):
    """The content cannot be used; `problems` holds every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def names(root: Path) -> list[str]:
    """The funnels below `root`, by folder name."""
    return sorted(folder.parent.name for folder in root.glob("sequences/*/funnel.toml"))


def read_folder(root: Path, name: str) -> dict[str, bytes]:
    """The files of one funnel, path relative to `root` → bytes. Raises ContentError for what cannot be read."""
    files, problems = {}, []
    for path in sorted(p for kind in ("sequences", "emails") for p in (root / kind / name).rglob("*")):
        place = path.relative_to(root).as_posix()
        if path.is_symlink():
            problems.append(Problem(place, "", "is a link; put the file itself here"))
        elif path.is_file() and path.suffix in _SUFFIXES:
            if path.stat().st_size > LARGEST_FILE:
                problems.append(Problem(place, "", f"is larger than {LARGEST_FILE} bytes"))
            else:
                files[place] = path.read_bytes()
    if problems:
        raise ContentError(problems)
    return files


def revision_id(files: Files) -> str:
    """The content's own name: hex SHA-256 over every path and the hash of what it holds."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(path.encode() + b"\x00" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def parse(name: str, files: Files) -> Funnel:
    """The funnel in `files`. Raises ContentError with every problem found."""
    reader = _Reader(name, files)
    funnel = reader.funnel()
    if reader.problems or funnel is None:
        raise ContentError(sorted(set(reader.problems)))
    return funnel


def parse_mail(path: str, files: Files, fields: frozenset[str]) -> Source:
    """A service mail that stands alone. Raises ContentError with every problem found."""
    reader = _Reader("", files)
    source = reader.mail(path, fields, frozenset(), {})
    if reader.problems or source is None:
        raise ContentError(sorted(set(reader.problems)))
    return source


class _Reader:
    """Walks one funnel's files and gathers problems instead of stopping at the first."""

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        self.files = files
        self.problems: list[Problem] = []
        self.used: set[str] = set()

    def problem(self, file: str, place: object, message: str) -> None:
        self.problems.append(Problem(file, str(place), message))

    def sequence_file(self, file: str) -> str:
        return f"sequences/{self.name}/{file}"

    def funnel(self) -> Funnel | None:
        head = self.toml(self.sequence_file("funnel.toml"), forms.FunnelForm)
        if not head:
            return None
        if len(set(head.patterns)) < len(head.patterns):
            self.problem(self.sequence_file("funnel.toml"), "patterns", "names a pattern twice")
        snippets = self.snippets()
        quiz = self.quiz(tuple(head.patterns))
        patterns = {key: self.pattern(key, frozenset(head.patterns), snippets) for key in head.patterns}
        support = self.toml(self.sequence_file("support.toml"), forms.SupportForm)
        pages = {page: self.page(self.sequence_file(f"{page}.md")) for page in ("landing", "how", "privacy")}
        self.duplicate_lessons(patterns)
        self.unused()
        if self.problems or not (quiz and support):
            return None
        educator = Educator(**head.educator.model_dump())
        return Funnel(
            name=self.name,
            slug=head.slug,
            title=head.title,
            locale=head.locale,
            timezone=head.timezone,
            leave_to=head.leave_to,
            controller=Controller(**head.controller.model_dump()),
            sender=Sender(**head.sender.model_dump()),
            review=Review(**head.review.model_dump()),
            educator=educator,
            wordings=_wordings(head, educator),
            quiz=quiz,
            patterns={key: pattern for key, pattern in patterns.items() if pattern},
            landing=_there(pages["landing"]),
            how=_there(pages["how"]),
            privacy=_there(pages["privacy"]),
            support=Support(
                support.intro,
                tuple(HelpKind(**kind.model_dump()) for kind in support.kinds),
                tuple(HelpEntry(**entry.model_dump()) for entry in support.entries),
            ),
            snippets=snippets,
        )

    def text(self, path: str) -> str | None:
        self.used.add(path)
        if path not in self.files:
            self.problem(path, "", "is missing")
            return None
        try:
            text = self.files[path].decode("utf-8")
        except UnicodeDecodeError as error:
            self.problem(path, f"byte {error.start}", "is not UTF-8 text; save the file as UTF-8")
            return None
        return text.removeprefix("\ufeff").replace("\r\n", "\n")

    def toml(self, path: str, form: type[_F]) -> _F | None:
        text = self.text(path)
        return None if text is None else self.form(path, text, form)

    def form(self, path: str, text: str, form: type[_F]) -> _F | None:
        try:
            return form.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            self.problem(path, "", f"is not TOML: {error}")
        except ValidationError as error:
            for found in error.errors(include_url=False, include_input=False):
                self.problem(path, _place(found["loc"]), _plain(found["type"], found["msg"]))
        return None

    def front_matter(self, path: str, form: type[_F]) -> tuple[_F, str, int] | None:
        """The form between the +++ lines, the body behind it, and how many lines come before the body."""
        text = self.text(path)
        if text is None:
            return None
        lines = text.split("\n")
        ends = [number for number, line in enumerate(lines) if line.strip() == "+++"]
        if len(ends) < 2 or ends[0] != 0:
            self.problem(path, "line 1", "starts with front matter between two +++ lines")
            return None
        head = self.form(path, "\n".join(lines[1 : ends[1]]), form)
        return (head, "\n".join(lines[ends[1] + 1 :]), ends[1] + 1) if head else None

    def snippets(self) -> dict[str, str]:
        folder = f"emails/{self.name}/snippets/"
        found = {}
        for path in self.files:
            if path.startswith(folder) and path.endswith(".md"):
                text = self.text(path) or ""
                for problem in grammar.field_problems(text, frozenset({"support_url"})):
                    self.problem(path, f"line {problem.line}", problem.message)
                found[path.removeprefix(folder).removesuffix(".md")] = text.strip()
        if "safety" not in found:
            self.problem(f"{folder}safety.md", "", "is missing: every result page shows it")
        return found

    def page(self, path: str) -> Page | None:
        read = self.front_matter(path, forms.PageForm)
        if not read:
            return None
        head, body, before = read
        for problem in grammar.field_problems(body, PAGE_FIELDS):
            self.problem(path, f"line {problem.line + before}", problem.message)
        return Page(head.title, head.description, body.strip())

    def quiz(self, patterns: tuple[str, ...]) -> Quiz | None:
        path = self.sequence_file("quiz.toml")
        form = self.toml(path, forms.QuizForm)
        if not form:
            return None
        for missing in sorted({"too-close", "at-ease", "too-few"} - set(form.outcomes)):
            self.problem(path, f"outcomes.{missing}", "is missing")
        if form.minimum_answers > len(form.questions):
            self.problem(path, "minimum_answers", "is more than there are questions")
        self.duplicates(path, "questions", [question.key for question in form.questions])
        for number, question in enumerate(form.questions, 1):
            self.question(path, f"questions[{number}]", question, patterns)
        for pattern in patterns:
            if not any(_main(answer.weights) == pattern for question in form.questions for answer in question.answers):
                self.problem(path, "questions", f"pattern {pattern!r} is unreachable: no answer speaks mainly for it")
        return Quiz(
            opening=form.opening,
            rules=Rules(form.minimum_answers, form.at_ease, form.too_close, form.secondary_within),
            patterns=patterns,
            questions=tuple(_question(question) for question in form.questions),
            outcomes={Outcome(key): OutcomeText(text.name, text.text) for key, text in form.outcomes.items()},
        )

    def question(self, path: str, place: str, question: forms.QuestionForm, patterns: tuple[str, ...]) -> None:
        self.duplicates(path, f"{place}.answers", [answer.key for answer in question.answers])
        for number, answer in enumerate(question.answers, 1):
            here = f"{place}.answers[{number}]"
            if answer.key in (NONE, SKIP):
                self.problem(path, f"{here}.key", f"{answer.key!r} is added by the service; choose another key")
            if answer.at_ease == bool(answer.weights):
                self.problem(path, here, "needs either weights or at_ease = true")
            for pattern in sorted(set(answer.weights) - set(patterns)):
                self.problem(path, f"{here}.weights", f"unknown pattern {pattern!r}; known are {', '.join(patterns)}")

    def pattern(self, key: str, patterns: frozenset[str], snippets: Mapping[str, str]) -> Pattern | None:
        path = self.sequence_file(f"{key}.toml")
        form = self.toml(path, forms.PatternForm)
        if not form:
            return None
        lessons = []
        for number, row in enumerate(form.lessons, 1):
            mail_path = f"emails/{self.name}/{row.email}"
            if mail_path in self.used:
                self.problem(path, f"lessons[{number}].email", f"{row.email} is already another lesson's mail")
            source = self.mail(mail_path, grammar.LESSON_FIELDS, patterns - {key}, snippets)
            if source:
                days = frozenset(forms.WEEKDAYS.index(day) for day in row.days)
                lessons.append(Lesson(row.key, Timing(row.wait, row.at, days), source))
        texts = form.model_dump(exclude={"lessons"})
        return Pattern(key=key, lessons=tuple(lessons), **texts)

    def mail(
        self, path: str, fields: frozenset[str], others: frozenset[str], snippets: Mapping[str, str]
    ) -> Source | None:
        read = self.front_matter(path, forms.MailForm)
        if not read:
            return None
        head, body, before = read
        for name, line in (("subject", head.subject), ("preview", head.preview)):
            for problem in grammar.field_problems(line, fields & grammar.PERSONAL_FIELDS | fields & {"title"}):
                self.problem(path, name, problem.message)
        blocks, problems = grammar.parse_blocks(body)
        for block in blocks:
            known = fields | grammar.EDUCATOR_FIELDS if block.kind == "educator" else fields
            problems += grammar.field_problems(block.markdown, known, block.line)
            problems += _argument_problems(block, others, snippets)
            if "<" in block.markdown and _has_html(block.markdown):
                problems.append(grammar.Problem(block.line, "holds HTML; write Markdown"))
        for problem in problems:
            self.problem(path, f"line {problem.line + before}", problem.message)
        filled = [
            grammar.Block("text", "", snippets.get(block.argument, ""), block.line)
            if block.kind == "snippet"
            else block
            for block in blocks
        ]
        return Source(head.subject, head.preview, tuple(filled))

    def duplicates(self, path: str, place: str, keys: list[str]) -> None:
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            self.problem(path, place, f"key {key!r} is used twice")

    def duplicate_lessons(self, patterns: Mapping[str, Pattern | None]) -> None:
        seen: dict[str, str] = {}
        for pattern in filter(None, patterns.values()):
            for lesson in pattern.lessons:
                file = self.sequence_file(f"{pattern.key}.toml")
                if lesson.key in seen:
                    self.problem(file, "lessons", f"key {lesson.key!r} is also used in {seen[lesson.key]}")
                seen[lesson.key] = file

    def unused(self) -> None:
        for path in sorted(set(self.files) - self.used):
            self.problem(path, "", "is not used by the funnel; name it in a <pattern>.toml or delete it")


def _wordings(head: forms.FunnelForm, educator: Educator) -> dict[str, str]:
    course = f"{head.consent.course} {head.consent.course_educator}" if educator.complete else head.consent.course
    names = {"controller": head.controller.name, "educator": educator.name}
    return {
        Purpose.SENSITIVE: _named(head.consent.sensitive, names),
        Purpose.COURSE: _named(course, names),
    }


def _named(text: str, names: Mapping[str, str]) -> str:
    for key, value in names.items():
        text = text.replace("{" + key + "}", value)
    return " ".join(text.split())


def _question(form: forms.QuestionForm) -> Question:
    answers = tuple(Answer(a.key, a.text, a.because, dict(a.weights), a.at_ease) for a in form.answers)
    return Question(form.key, form.text, form.channel, answers)


def _main(weights: Mapping[str, int]) -> str | None:
    return max(weights, key=lambda pattern: weights[pattern], default=None)


def _argument_problems(
    block: grammar.Block, others: frozenset[str], snippets: Mapping[str, str]
) -> Iterator[grammar.Problem]:
    if block.kind == "secondary" and block.argument not in others:
        yield grammar.Problem(
            block.line - 1, f"secondary {block.argument!r} can never be; use {', '.join(sorted(others))}"
        )
    if block.kind == "snippet" and block.argument not in snippets:
        yield grammar.Problem(block.line - 1, f"there is no snippets/{block.argument}.md")


def _has_html(markdown: str) -> bool:
    tokens = MarkdownIt("commonmark").parse(markdown)
    inner = (child for token in tokens for child in token.children or [])
    return any(token.type in ("html_block", "html_inline") for token in (*tokens, *inner))


def _place(location: tuple[int | str, ...]) -> str:
    """A key path as people count: questions[3].answers[1].key"""
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _plain(kind: str, message: str) -> str:
    known = {"extra_forbidden": "unknown key; is it a typing mistake?", "missing": "is missing"}
    return known.get(kind, message.removeprefix("Value error, "))


def _there(page: Page | None) -> Page:
    assert page is not None, "a missing page is a problem and was reported"
    return page
