"""A funnel in its other languages: the files beside its own. Whatever is missing stays in the main language."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from funnel import language
from funnel.content import forms, spoken_forms
from funnel.content.files import locale_of, variant
from funnel.content.mails import PAGE_FIELDS, read_mail, read_page, read_snippets
from funnel.content.quizzes import OUTCOMES
from funnel.content.texts import Texts
from funnel.core.lesson import LESSON_FIELDS, Source
from funnel.core.quiz import Answer, Fact, Outcome, OutcomeText, Question, Quiz
from funnel.core.sequence import Educator, Funnel, HelpEntry, HelpKind, Lesson, Page, Pattern, Support

PAGES = ("landing", "how", "privacy")
PATTERN_TEXTS = ("summary", "purpose", "before", "during", "after", "costs", "needs", "practice")


@dataclass(frozen=True)
class Translation:
    """What there is of a funnel in another language; None, or not in a mapping, is what there is not."""

    locale: str
    head: spoken_forms.SpokenFunnelForm | None
    quiz: spoken_forms.SpokenQuizForm | None
    support: spoken_forms.SpokenSupportForm | None
    pages: Mapping[str, Page]
    patterns: Mapping[str, spoken_forms.SpokenPatternForm]
    snippets: Mapping[str, str]
    lessons: Mapping[str, Source]


def read_translation(texts: Texts, name: str, locale: str, patterns: Iterable[str], quiz: Quiz | None) -> Translation:
    """Everything that stands beside the files of funnel `name` in this language; problems go to `texts`."""
    here = f"sequences/{name}/"
    keys = frozenset(patterns)
    snippets = read_snippets(texts, f"emails/{name}/snippets/", locale)
    pages = {page: read_page(texts, path) for page in PAGES if (path := _found(texts, f"{here}{page}.md", locale))}
    told = {
        key: form for key in sorted(keys) if (form := _toml(texts, f"{here}{key}.toml", locale, _PATTERN)) is not None
    }
    for key, form in told.items():
        for place in PATTERN_TEXTS:
            texts.markdown_value(variant(f"{here}{key}.toml", locale), place, getattr(form, place), PAGE_FIELDS)
    spoken_quiz = _toml(texts, f"{here}quiz.toml", locale, spoken_forms.SpokenQuizForm)
    if spoken_quiz:
        _check_quiz(texts, variant(f"{here}quiz.toml", locale), spoken_quiz, quiz)
    support = _toml(texts, f"{here}support.toml", locale, spoken_forms.SpokenSupportForm)
    if support:
        texts.markdown_value(variant(f"{here}support.toml", locale), "intro", support.intro, PAGE_FIELDS)
    return Translation(
        locale=locale,
        head=_toml(texts, f"{here}funnel.toml", locale, spoken_forms.SpokenFunnelForm),
        quiz=spoken_quiz,
        support=support,
        pages={page: read for page, read in pages.items() if read},
        patterns=told,
        snippets=snippets,
        lessons=_lessons(texts, name, locale, keys, snippets),
    )


_PATTERN = spoken_forms.SpokenPatternForm


def _found(texts: Texts, path: str, locale: str) -> str | None:
    """The translation of this file, where there is one."""
    return spoken if (spoken := variant(path, locale)) in texts.files else None


def _toml(texts: Texts, path: str, locale: str, form: type[Any]) -> Any:
    spoken = _found(texts, path, locale)
    return texts.toml(spoken, form) if spoken else None


def _lessons(
    texts: Texts, name: str, locale: str, keys: frozenset[str], snippets: Mapping[str, str]
) -> dict[str, Source]:
    """Lesson key → its mail in this language. A mail is in one language: it waits for the snippets that it shows."""
    found = {}
    for pattern in sorted(keys):
        listed = texts.toml(f"sequences/{name}/{pattern}.toml", forms.PatternForm)
        for row in listed.lessons if listed else ():
            path = _found(texts, f"emails/{name}/{row.email}", locale)
            known = dict.fromkeys(read_snippets(texts, f"emails/{name}/snippets/"), "") | dict(snippets)
            source = read_mail(texts, path, LESSON_FIELDS, keys - {pattern}, known) if path else None
            asked = {block.argument for block in source.blocks if block.kind == "snippet"} if source else set()
            if source and asked <= set(snippets):
                found[row.key] = replace(source, locale=locale)
    return found


def _check_quiz(texts: Texts, path: str, form: spoken_forms.SpokenQuizForm, quiz: Quiz | None) -> None:
    """A translated quiz asks exactly the same questions; its order does not matter."""
    texts.markdown_value(path, "opening", form.opening, PAGE_FIELDS)
    for number, fact in enumerate(form.facts, 1):
        texts.markdown_value(path, f"facts[{number}].text", fact.text, PAGE_FIELDS)
    for key, outcome in form.outcomes.items():
        texts.markdown_value(path, f"outcomes.{key}.text", outcome.text, PAGE_FIELDS)
    for missing in sorted(set(OUTCOMES) - set(form.outcomes)):
        texts.problem(path, f"outcomes.{missing}", "is missing")
    if quiz is None:
        return
    asked = {question.key: question for question in quiz.questions}
    _check_keys(texts, path, "questions", [question.key for question in form.questions], list(asked))
    for number, question in enumerate(form.questions, 1):
        if question.key in asked:
            expected = [answer.key for answer in asked[question.key].answers]
            given = [answer.key for answer in question.answers]
            _check_keys(texts, path, f"questions[{number}].answers", given, expected)


def _check_keys(texts: Texts, path: str, place: str, given: list[str], expected: list[str]) -> None:
    for key in expected:
        if given.count(key) != 1:
            texts.problem(path, place, f"{key!r} is {'missing' if key not in given else 'there twice'}")
    for number, key in enumerate(given, 1):
        if key not in expected:
            texts.problem(
                path, f"{place}[{number}].key", f"{key!r} is not in quiz.toml; known are {', '.join(expected)}"
            )


def translated(main: Funnel, found: Translation, wordings: Mapping[str, str]) -> Funnel:
    """`main` in the language of `found`; `wordings` are its consents in that language, where there are any."""
    head = found.head
    parts: dict[str, object] = {"funnel": head, "quiz": found.quiz, "support": found.support}
    parts |= {page: found.pages.get(page) for page in PAGES}
    parts |= {f"pattern {key}": found.patterns.get(key) for key in main.patterns}
    parts |= {f"snippet {name}": found.snippets.get(name) for name in main.snippets}
    return replace(
        main,
        locale=found.locale,
        main_locale=main.locale,
        untranslated=frozenset(part for part, text in parts.items() if text is None),
        title=head.title if head else main.title,
        leave_to=head.leave_to if head and head.leave_to else main.leave_to,
        sender=replace(main.sender, name=head.sender.name, replies=head.sender.replies) if head else main.sender,
        educator=_educator(main.educator, head.educator) if head else main.educator,
        wordings=wordings if head else main.wordings,
        quiz=_quiz(main.quiz, found.quiz) if found.quiz else main.quiz,
        support=_support(main.support, found.support) if found.support else main.support,
        patterns={key: _pattern(pattern, found) for key, pattern in main.patterns.items()},
        snippets={**main.snippets, **found.snippets},
        **{page: found.pages.get(page, getattr(main, page)) for page in PAGES},
    )


def _educator(main: Educator, form: spoken_forms.SpokenEducatorForm) -> Educator:
    return replace(main, **{name: text for name, text in form.model_dump().items() if text}) if main.complete else main


def _quiz(main: Quiz, form: spoken_forms.SpokenQuizForm) -> Quiz:
    """The same quiz in other words: keys, weights, order and rules stay."""
    spoken = {question.key: question for question in form.questions}
    return replace(
        main,
        opening=form.opening,
        begin=form.begin,
        facts=tuple(Fact(fact.name, fact.text) for fact in form.facts),
        questions=tuple(_question(each, spoken[each.key]) for each in main.questions if each.key in spoken),
        outcomes={Outcome(key): OutcomeText(text.name, text.text) for key, text in form.outcomes.items()},
    )


def _question(main: Question, form: spoken_forms.SpokenQuestionForm) -> Question:
    spoken = {answer.key: answer for answer in form.answers}

    def answer(each: Answer) -> Answer:
        return replace(each, text=spoken[each.key].text, because=spoken[each.key].because)

    return Question(main.key, form.text, main.channel, tuple(answer(a) for a in main.answers if a.key in spoken))


def _support(main: Support, form: spoken_forms.SpokenSupportForm) -> Support:
    entries = tuple(HelpEntry(**entry.model_dump()) for entry in form.entries)
    return Support(form.intro, tuple(HelpKind(**kind.model_dump()) for kind in form.kinds), entries or main.entries)


def _pattern(main: Pattern, found: Translation) -> Pattern:
    form = found.patterns.get(main.key)
    own: dict[str, Any] = form.model_dump() if form else {}
    return replace(main, lessons=tuple(_lesson(lesson, found) for lesson in main.lessons), **own)


def _lesson(main: Lesson, found: Translation) -> Lesson:
    return replace(main, source=found.lessons.get(main.key, main.source))


def check_locales(texts: Texts, path: str, head: forms.FunnelForm) -> None:
    """The languages that funnel.toml names."""
    for number, locale in enumerate(head.locales, 1):
        if locale == head.locale or head.locales.count(locale) > 1:
            texts.problem(path, f"locales[{number}]", f"{locale!r} is named twice")
        if not language.is_known(locale):
            known = ", ".join(language.known())
            texts.problem(path, f"locales[{number}]", f"the service itself does not speak {locale!r} yet, only {known}")


def stranger(path: str, files: Iterable[str], locales: Iterable[str]) -> str | None:
    """Why a file in another language belongs to nothing; None for a file in the main one."""
    locale = locale_of(path)
    if not locale:
        return None
    if locale not in locales:
        return f"is in {locale!r}, which is not among the locales in funnel.toml"
    main = path.removesuffix(f".{locale}.{path.rpartition('.')[2]}") + "." + path.rpartition(".")[2]
    return f"translates {main}, which is not there" if main not in files else None
