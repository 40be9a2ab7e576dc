"""`funnel forecast`: the coming hours of the live database."""

import json
from collections import Counter
from collections.abc import Mapping

import click
from rich.console import Console

from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.flow.doctor import moment
from funnel.flow.forecast import Forecast, Outlook, forecast
from funnel.foresee.terminal import at, bar, columns, iso, say
from funnel.operate import assembled

PROJECTED = (
    "Projected: the lessons that follow on those that are due, as the content is now and as if each were accepted when "
    "due. Nobody who signs up later is among them, nor what follows on a lesson under way."
)


@click.command(name="forecast", help="What will be sent in the coming hours, from what is due in the database.")
@click.option("--hours", type=click.IntRange(1, 24 * 400), default=48, show_default=True)
@click.option("--days", type=click.IntRange(1, 400), help="Look so many days ahead instead, and project what follows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def forecast_command(hours: int, days: int | None, as_json: bool) -> None:
    with assembled() as runtime:
        now_ms = runtime.now_ms()
        until_ms = now_ms + (days * DAY_MS if days else hours * HOUR_MS)
        outlook = forecast(runtime.tools, now_ms, until_ms, project=days is not None)
    if as_json:
        click.echo(json.dumps(_as_json(now_ms, until_ms, outlook), indent=2))
        return
    _print(outlook, DAY_MS if days else HOUR_MS)
    say(f"\nFrom {moment(now_ms)} to {moment(until_ms)}. Times are UTC.")


def _as_json(now_ms: int, until_ms: int, outlook: Outlook) -> dict[str, object]:
    funnels = {name: _funnel_json(each) for name, each in outlook.funnels.items()}
    return {"now": iso(now_ms), "until": iso(until_ms), "funnels": funnels, "held": dict(outlook.held)}


def _funnel_json(each: Forecast) -> dict[str, object]:
    found: dict[str, object] = {
        "overdue": each.overdue,
        "oldest": None if each.oldest_ms is None else iso(each.oldest_ms),
        "under_way": each.under_way,
        "due": {iso(hour_ms): count for hour_ms, count in each.due.items()},
    }
    if each.projected is not None:
        found["projected"] = {iso(hour_ms): count for hour_ms, count in each.projected.items()}
    return found


def _print(outlook: Outlook, span_ms: int) -> None:
    for scope, reason in outlook.held.items():
        say(f"Held: {scope} ({reason}). Nothing of it goes out before it is resumed.", "bold yellow")
    for name, each in outlook.funnels.items():
        oldest = f", the oldest since {moment(each.oldest_ms)}" if each.oldest_ms is not None else ""
        say(f"\n{name}", "bold")
        say(f"{each.overdue:,} overdue{oldest}; {each.under_way:,} under way.")
        _print_spans(each, span_ms)
    if any(each.projected is not None for each in outlook.funnels.values()):
        say(f"\n{PROJECTED}")


def _print_spans(each: Forecast, span_ms: int) -> None:
    due, projected = _spans(each.due, span_ms), _spans(each.projected or {}, span_ms)
    total = Counter(due) + Counter(projected)
    if not total:
        say("Nothing is due in this time.")
        return
    shown = {"due": due, **({"projected": projected} if each.projected is not None else {})}
    table = columns("from", *shown, "")
    for begins_ms in sorted(total):
        figures = (f"{counts.get(begins_ms, 0):,}" for counts in shown.values())
        table.add_row(f"{at(begins_ms):%a %Y-%m-%d %H:%M}", *figures, bar(total[begins_ms], total))
    Console().print(table)


def _spans(hours: Mapping[int, int], span_ms: int) -> dict[int, int]:
    found: Counter[int] = Counter()
    for hour_ms, count in hours.items():
        found[hour_ms - hour_ms % span_ms] += count
    return dict(found)
