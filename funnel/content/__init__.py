"""Reads a funnel's folders into core types, or names everything that is wrong with them."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from funnel.content import forms
from funnel.content.files import locale_of, names, read_folder, revision_id, scan_folder, untranslated, variant
from funnel.content.mails import PAGE_FIELDS, read_mail, read_page, read_snippets
from funnel.content.patterns import read_pattern
from funnel.content.problem import ContentError, Files, Problem
from funnel.content.quizzes import read_quiz
from funnel.content.sequences import check_sequences
from funnel.content.texts import Texts
from funnel.content.translations import (
    Translation,
    check_locales,
    read_translation,
    stranger,
    translated,
)
from funnel.core.consent import Purpose
from funnel.core.lesson import Source
from funnel.core.quiz import Quiz
from funnel.core.sequence import (
    Controller,
    Educator,
    Funnel,
    HelpEntry,
    HelpKind,
    Review,
    Schedule,
    Sender,
    Support,
)

__all__ = [
    "ContentError",
    "Files",
    "Problem",
    "locale_of",
    "names",
    "parse",
    "parse_mail",
    "read_all",
    "read_folder",
    "read_one",
    "revision_id",
    "untranslated",
]

_OTHER_TOML = ("funnel", "quiz", "support")


def read_all(root: Path) -> dict[str, tuple[dict[str, bytes], Funnel]]:
    """Every funnel below `root`: name → (files, funnel). Raises ContentError with every problem of all of them."""
    found, problems = {}, []
    for name in names(root):
        try:
            found[name] = read_one(root, name)
        except ContentError as error:
            problems += error.problems
    slugs = [funnel.slug for _, funnel in found.values()]
    problems += [
        Problem(f"sequences/{name}/funnel.toml", "slug", f"{funnel.slug!r} is taken by another funnel")
        for name, (_, funnel) in found.items()
        if slugs.count(funnel.slug) > 1
    ]
    if not found and not problems:
        problems.append(Problem("sequences/", "", "holds no funnel: a folder with a funnel.toml"))
    if problems:
        raise ContentError(problems)
    return found


def read_one(root: Path, name: str) -> tuple[dict[str, bytes], Funnel]:
    """One funnel below `root`: (files, funnel). Raises ContentError with every problem of the files and in them."""
    files, refused = scan_folder(root, name)
    if not refused:
        return files, parse(name, files)
    problems, places = list(refused), {each.file for each in refused}
    try:
        parse(name, files)
    except ContentError as error:
        problems += (each for each in error.problems if each.file not in places)
    raise ContentError(sorted(problems))


def parse(name: str, files: Files) -> Funnel:
    """The funnel in `files`. Raises ContentError with every problem found."""
    texts = Texts(files)
    funnel = _read_funnel(texts, name)
    if texts.problems or funnel is None:
        raise ContentError(sorted(set(texts.problems)))
    return funnel


def parse_mail(path: str, files: Files, fields: frozenset[str]) -> Source:
    """A service mail that stands alone. Raises ContentError with every problem found."""
    texts = Texts(files)
    source = read_mail(texts, path, fields, frozenset(), {})
    if texts.problems or source is None:
        raise ContentError(sorted(set(texts.problems)))
    return source


def _read_funnel(texts: Texts, name: str) -> Funnel | None:
    here = f"sequences/{name}/"
    head = texts.toml(f"{here}funnel.toml", forms.FunnelForm)
    if head and len(set(head.patterns)) < len(head.patterns):
        texts.problem(f"{here}funnel.toml", "patterns", "names a pattern twice")
    keys = tuple(dict.fromkeys(head.patterns if head else _pattern_files(texts.files, here)))
    snippets = read_snippets(texts, f"emails/{name}/snippets/")
    quiz = read_quiz(texts, f"{here}quiz.toml", keys)
    schedule = head.schedule if head else forms.ScheduleForm()
    patterns = {key: read_pattern(texts, name, key, frozenset(keys), snippets, schedule.quiet) for key in keys}
    support = texts.toml(f"{here}support.toml", forms.SupportForm)
    landing, how, privacy = (read_page(texts, f"{here}{page}.md") for page in ("landing", "how", "privacy"))
    translations = _read_translations(texts, name, head, keys, quiz)
    check_sequences(texts, here, {key: found for key, found in patterns.items() if found}, keys)
    if all(patterns.values()):
        _unused(texts, [each.locale for each in translations])
    if support:
        texts.markdown_value(f"{here}support.toml", "intro", support.intro, PAGE_FIELDS)
    if not (head and quiz and support and landing and how and privacy):
        return None
    funnel = Funnel(
        name=name,
        slug=head.slug,
        title=head.title,
        locale=head.locale,
        timezone=head.timezone,
        leave_to=head.leave_to,
        controller=Controller(**head.controller.model_dump()),
        sender=Sender(**head.sender.model_dump()),
        review=Review(**head.review.model_dump()),
        educator=(educator := Educator(**head.educator.model_dump())),
        wordings=_wordings(texts, f"{here}funnel.toml", head.consent, head.controller.name, educator),
        quiz=quiz,
        patterns={key: pattern for key, pattern in patterns.items() if pattern},
        landing=landing,
        how=how,
        privacy=privacy,
        support=_support(support),
        snippets=snippets,
        **head.sending.model_dump(),
        schedule=Schedule(**schedule.model_dump()),
    )
    return _with_translations(texts, funnel, translations)


def _read_translations(
    texts: Texts, name: str, head: forms.FunnelForm | None, keys: Iterable[str], quiz: Quiz | None
) -> list[Translation]:
    if not head:
        return []
    check_locales(texts, f"sequences/{name}/funnel.toml", head)
    return [read_translation(texts, name, locale, keys, quiz) for locale in dict.fromkeys(head.locales)]


def _with_translations(texts: Texts, main: Funnel, translations: Iterable[Translation]) -> Funnel:
    spoken = {}
    for found in translations:
        path = variant(f"sequences/{main.name}/funnel.toml", found.locale)
        told = found.head and _wordings(texts, path, found.head.consent, main.controller.name, main.educator)
        if not texts.problems:  # a translation with problems fits nothing
            spoken[found.locale] = translated(main, found, told or main.wordings)
    return replace(main, translations=spoken)


def _support(form: forms.SupportForm) -> Support:
    kinds = tuple(HelpKind(**kind.model_dump()) for kind in form.kinds)
    return Support(form.intro, kinds, tuple(HelpEntry(**entry.model_dump()) for entry in form.entries))


def _pattern_files(files: Files, here: str) -> list[str]:
    """The patterns that there are files for, when funnel.toml cannot say."""
    tomls = (path.removeprefix(here).removesuffix(".toml") for path in files if path.startswith(here))
    return sorted(key for key in tomls if key not in _OTHER_TOML and "." not in key)


def _unused(texts: Texts, locales: Iterable[str]) -> None:
    for path in sorted(set(texts.files) - texts.used):
        why = stranger(path, texts.files, locales)
        texts.problem(path, "", why or "is not used by the funnel; name it in a <pattern>.toml or delete it")


def _wordings(
    texts: Texts, path: str, consent: forms.ConsentForm, controller: str, educator: Educator
) -> dict[str, str]:
    course = f"{consent.course} {consent.course_educator}" if educator.complete else consent.course
    names = {"{controller}": controller, **({"{educator}": educator.name} if educator.name else {})}
    wordings: dict[str, str] = {}
    for purpose, text in ((Purpose.SENSITIVE, consent.sensitive), (Purpose.COURSE, course)):
        for unknown in [mark for mark in re.findall(r"\{.*?\}", text) if mark not in names][:1]:
            texts.problem(path, f"consent.{purpose}", f"{unknown} is not known here; {{controller}} is")
        text = re.sub(r"\{.*?\}", lambda mark: names.get(mark[0], mark[0]), text)
        wordings[purpose] = " ".join(text.split())
    return wordings
