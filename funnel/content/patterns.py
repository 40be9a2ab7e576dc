"""<pattern>.toml: a pattern's texts and its sequence."""

from collections.abc import Mapping
from datetime import time

from funnel.content import forms
from funnel.content.kinds import EVERY_DAY
from funnel.content.mails import PAGE_FIELDS, read_mail
from funnel.content.texts import Texts
from funnel.content.translations import PATTERN_TEXTS
from funnel.core.lesson import LESSON_FIELDS, Source
from funnel.core.schedule import Timing
from funnel.core.sequence import TRAITS, Condition, Goal, Lesson, Pattern, Until

_Quiet = tuple[time, time] | None


def read_pattern(
    texts: Texts, name: str, key: str, keys: frozenset[str], snippets: Mapping[str, str], quiet: _Quiet
) -> Pattern | None:
    """The pattern `key` of the funnel `name`; `quiet` hours are those of lessons that say nothing themselves."""
    path = f"sequences/{name}/{key}.toml"
    form = texts.toml(path, forms.PatternForm)
    if not form:
        emails = texts.strings(path, "lessons", "email")
        for email in dict.fromkeys(emails if len(emails) <= forms.LESSONS_AT_MOST else ()):
            read_mail(texts, f"emails/{name}/{email}", LESSON_FIELDS, keys - {key}, snippets)
        return None
    for place in PATTERN_TEXTS:
        texts.markdown_value(path, place, getattr(form, place), PAGE_FIELDS)
    lessons = []
    for number, row in enumerate(form.lessons, 1):
        mail = f"emails/{name}/{row.email}"
        if mail in texts.used:
            texts.problem(path, f"lessons[{number}].email", f"{row.email} is already another lesson's mail")
        _check_row(texts, path, f"lessons[{number}]", row)
        source = read_mail(texts, mail, LESSON_FIELDS, keys - {key}, snippets)
        if source:
            lessons.append(_lesson(row, source, quiet))
    goals = tuple(Goal(goal.event, goal.to) for goal in form.goals)
    return Pattern(key=key, lessons=tuple(lessons), goals=goals, **form.model_dump(exclude={"lessons", "goals"}))


def _check_row(texts: Texts, path: str, place: str, row: forms.LessonForm) -> None:
    """What can be told of a lesson alone."""
    if (row.until is None) != (row.at_most is None):
        texts.problem(path, f"{place}.until", "needs at-most, and at-most needs until: nobody waits for ever")
    elif row.at_most is not None and row.at_most <= row.wait:
        texts.problem(path, f"{place}.at-most", "must be longer than wait: nobody would wait for the event")
    if row.wait == 0 and row.at is None and row.until is None:
        for field in sorted(row.model_fields_set & {"days", "not_before", "quiet"}):
            message = "means nothing here: a lesson without a wait and an hour is sent at once"
            texts.problem(path, f"{place}.{field.replace('_', '-')}", message)
    for field in ("only_if", "unless"):
        condition = getattr(row, field)
        if condition is not None and not condition.model_fields_set:
            names = ", ".join(TRAITS)
            texts.problem(path, f"{place}.{field.replace('_', '-')}", f"names no trait; known are {names}")


def _lesson(row: forms.LessonForm, source: Source, quiet: _Quiet) -> Lesson:
    days = frozenset(EVERY_DAY.index(day) for day in row.days)
    own = row.quiet if "quiet" in row.model_fields_set else quiet
    until = Until(row.until, row.at_most) if row.until and row.at_most is not None else None
    return Lesson(
        row.key,
        Timing(row.wait, row.at, days, row.not_before, own),
        source,
        _conditions(row.only_if),
        _conditions(row.unless),
        until,
        row.after_all,
        row.same_as,
    )


def _conditions(form: forms.ConditionForm | None) -> tuple[Condition, ...]:
    written = {trait: getattr(form, trait) for trait in TRAITS} if form else {}
    return tuple(Condition(trait, frozenset(values)) for trait, values in written.items() if values)
