"""Runs every rule over one funnel."""

from collections.abc import Callable, Iterator

from funnel.lint import balance, contrast, delivered, discreet, links, reach, reading, repeats, timing, wording
from funnel.lint.finding import Finding
from funnel.lint.silence import apply
from funnel.lint.subject import Subject

EVERY: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    *(balance.fair, balance.golden),
    *(reach.outcomes, reach.answers, reach.lessons, reach.passages, reach.files),
    *(timing.shifting, wording.diagnostic_and_graphic, reading.readable, repeats.repeated),
    *(discreet.texts, discreet.addresses, discreet.links),
    *(links.texts, links.pictures),
    *(delivered.sizes, delivered.other_parts, delivered.support),
    contrast.contrasts,
)


def lint(subject: Subject) -> list[Finding]:
    """Everything that is found and not silenced, in the order of files and lines."""
    found = (finding for rule in EVERY for finding in rule(subject))
    return apply(found, {**subject.files, **{file.path: file for file in subject.sheets.values()}})
