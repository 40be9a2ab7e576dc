"""`funnel simulate`: a whole cohort, in seconds."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.flow.doctor import moment
from funnel.foresee.terminal import bar, columns, iso, say
from funnel.mail.compile import Layouts
from funnel.runtime import Runtime, service_mails
from funnel.settings import ROOT, load
from funnel.simulate.report import Plan, Report, simulate

SHOWN = 5  # breaches of each promise
KEPT = (
    "Every promise was kept: nobody was mailed at night, out of order, twice in a day or twice the same lesson; "
    "nobody is stranded."
)


@click.command(name="simulate", help="Run invented people through the real code. Exit code 1: a promise was broken.")
@click.option("--people", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True)
@click.option("--days", type=click.IntRange(1, 400), default=14, show_default=True, help="How long the clock runs.")
@click.option("--over", type=click.IntRange(1, 9_600), default=48, show_default=True, help="Hours of sign-ups.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="The first day, in UTC.  [default: today]")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same people.")
@click.option("--funnel", help="Only this one.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def simulate_command(
    people: int, days: int, over: int, start: datetime | None, seed: int, funnel: str | None, as_json: bool
) -> None:
    start_ms = int(start.replace(tzinfo=UTC).timestamp()) * 1000 if start else Runtime.now_ms() // DAY_MS * DAY_MS
    plan = Plan(people, days, start_ms, min(over * HOUR_MS, days * DAY_MS), seed, funnel)
    report = _run(plan)
    if as_json:
        click.echo(json.dumps(_as_json(plan, report), indent=2))
    else:
        _print(plan, report)
    if report.breaches:
        sys.exit(1)


def _run(plan: Plan) -> Report:
    settings = load()
    layouts = Layouts(settings.content / "emails", ROOT / "emails")
    try:
        with _clock(plan.start_ms, plan.days * DAY_MS) as show:
            return simulate(settings.content, layouts, service_mails(settings.content), plan, show)
    except LookupError as error:
        raise click.ClickException(f"There is no such funnel. Known: {error}.") from None


@contextmanager
def _clock(start_ms: int, length_ms: int) -> Iterator[Callable[[int], None]]:
    """A bar that shows how far the moved clock has come."""
    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*parts, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task("", total=length_ms)

        def show(now_ms: int) -> None:
            bars.update(task, description=moment(now_ms), completed=now_ms - start_ms)

        yield show


def _as_json(plan: Plan, report: Report) -> dict[str, object]:
    peak_ms, peak = report.peak
    return {
        "ok": not report.breaches,
        "plan": asdict(plan),
        "lessons": report.lessons,
        "courses": dict(report.courses),
        "peak": {"hour": iso(peak_ms), "lessons": peak},
        "hours": {iso(hour_ms): count for hour_ms, count in report.hours.items()},
        "breaches": [asdict(breach) for breach in report.breaches],
    }


def _print(plan: Plan, report: Report) -> None:
    courses = ", ".join(f"{count:,} {state}" for state, count in sorted(report.courses.items()))
    say(
        f"{plan.people:,} people, {plan.days} days from {moment(plan.start_ms)}, seed {plan.seed}: "
        f"{report.lessons:,} lessons sent; courses: {courses or 'none'}."
    )
    peak_ms, peak = report.peak
    say(f"The fullest hour began at {moment(peak_ms)}: {peak:,} lessons. By the hour of the day (UTC):\n")
    _print_hours_of_day(report.hours, plan.days)
    for promise, found in report.broken.items():
        say(f"\nBroken {len(found):,} times: {promise}", "bold red")
        for breach in found[:SHOWN]:
            who = "" if breach.reader is None else f"reader {breach.reader}: "
            say(f"  {who}{breach.says}")
        if len(found) > SHOWN:
            say(f"  and {len(found) - SHOWN:,} more; --json lists them all")
    if not report.breaches:
        say(f"\n{KEPT}", "green")


def _print_hours_of_day(hours: Mapping[int, int], days: int) -> None:
    of_day: Counter[int] = Counter()
    fullest: Counter[int] = Counter()
    for hour_ms, count in hours.items():
        place = hour_ms % DAY_MS // HOUR_MS
        of_day[place] += count
        fullest[place] = max(fullest[place], count)
    table = columns("hour", "mean", "most", "")
    for place in range(24):
        mean, most = f"{of_day[place] / days:,.0f}", f"{fullest[place]:,}"
        table.add_row(f"{place:02}:00", mean, most, bar(fullest[place], fullest))
    Console().print(table)
