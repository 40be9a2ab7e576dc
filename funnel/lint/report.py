"""Findings as people read them, grouped by file and in color; and as lines that stay the same for programs."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from funnel.content.problem import plain
from funnel.lint.balance import Balance, Figures
from funnel.lint.finding import Finding
from funnel.lint.reach import ALONE, NONE, OWN, SHARED, Row
from funnel.lint.rules import Severity

_MARKS = {OWN: "●", SHARED: "·", NONE: "–"}
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


def show(console: Console, findings: Iterable[Finding]) -> None:
    """By file, each with its line, code, reason and advice. Whoever reads through a pipe gets one line for each."""
    if not console.is_terminal:
        for finding in findings:
            console.print(str(finding), soft_wrap=True, markup=False, highlight=False)
        return
    for file, group in groupby(findings, key=lambda finding: finding.file):
        console.print(Text(f"\n{plain(file)}", "bold underline"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for one in group:
            about = Text(plain(one.reason), overflow="fold").append(f"\n→ {one.advice}", "dim")
            table.add_row(
                Text(str(one.line or "·"), "dim", justify="right"), Text(one.code, _STYLES[one.severity]), about
            )
        console.print(table)
    console.print()


def summary(names: Sequence[str], errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return f"No problems in {', '.join(names)}."
    counted = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return f"{' and '.join(counted)}."


def show_matrix(console: Console, name: str, rows: Sequence[Row]) -> None:
    """● holds words of their own, · what everybody gets, and – is not for them."""
    table = Table(title=f"{name}: who is spoken to", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("lesson", no_wrap=True)
    seconds = [ALONE, *dict.fromkeys(row.pattern for row in rows)]
    paces, locales = list(rows[0].pace), list(rows[0].locale)
    for heading in (*(key if key == ALONE else f"+{key}" for key in seconds), *paces, *locales):
        table.add_column(heading, justify="center", no_wrap=True)
    for row in rows:
        cells = [row.secondary.get(key, "") for key in seconds]
        cells += [row.pace[key] for key in paces] + [row.locale[key] for key in locales]
        table.add_row(row.lesson, *(_MARKS.get(cell, "") for cell in cells))
    console.print(table)


def show_balance(console: Console, name: str, balance: Balance) -> None:
    """The share of each pattern, ties and the other outcomes, for each kind of respondents."""
    table = Table(title=f"{name}: what people are told", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("respondents", no_wrap=True)
    for heading in (*balance.at_random.patterns, "too close", "tied", "at ease", "too few"):
        table.add_column(heading, justify="right", no_wrap=True)
    for said, figures in _kinds(balance):
        others = (figures.too_close, figures.ties, figures.outcomes["at-ease"], figures.outcomes["too-few"])
        table.add_row(said, *(f"{share:.1%}" for share in (*figures.patterns.values(), *others)))
    console.print(table)


def _kinds(balance: Balance) -> Iterator[tuple[str, Figures]]:
    yield f"{balance.at_random.people:,} at random", balance.at_random
    yield from ((f"{one.people:,} leaning to {pattern}", one) for pattern, one in balance.leaning.items())
    if balance.golden:
        yield f"{balance.golden.people} golden", balance.golden
