"""`funnel calendar`: the dated plan of one reader."""

import json
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from funnel import content
from funnel.core.calendar import Calendar, Entry, calendar, instant, offset, wall, zone_for
from funnel.core.progress import Reader
from funnel.core.schedule import PACES, is_zone
from funnel.core.sequence import Funnel
from funnel.foresee.terminal import iso, say
from funnel.operate import assembled
from funnel.runtime import Runtime
from funnel.settings import load
from funnel.store import history
from funnel.store.db import reading

MOMENTS = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@click.command(name="calendar", help="The dated plan of one reader, with the reason for each time.")
@click.option("--pattern", required=True, help="Whose course it is.")
@click.option("--funnel", "name", help="Needed where there are several.")
@click.option("--zone", help="The reader's time zone, such as Europe/Berlin.  [default: the funnel's]")
@click.option("--start", type=click.DateTime(MOMENTS), help="When they confirm, local time.  [default: now]")
@click.option("--secondary", help="Their second pattern.")
@click.option("--pace", type=click.Choice(list(PACES)), default=next(iter(PACES)), show_default=True)
@click.option("--locale", help="The language that they read.  [default: the funnel's]")
@click.option("--revision", help="One that is stored, by its id or the beginning of it.  [default: the files]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def calendar_command(
    pattern: str,
    name: str | None,
    zone: str | None,
    start: datetime | None,
    secondary: str | None,
    pace: str,
    locale: str | None,
    revision: str | None,
    as_json: bool,
) -> None:
    funnel = _stored(revision) if revision else _written(name)
    for what, given in (("pattern", pattern), ("second pattern", secondary)):
        if given is not None and given not in funnel.patterns:
            raise click.ClickException(f"There is no {what} {given!r}. Known: {', '.join(funnel.patterns)}.")
    if zone is not None and not is_zone(zone):
        raise click.ClickException(f"{zone!r} is no time zone. Write one like Europe/Berlin.")
    reader = Reader(pattern, secondary, pace, zone or funnel.timezone, locale or funnel.locale)
    start_ms = instant(start, zone_for(funnel, reader.zone)) if start else Runtime.now_ms()
    found = calendar(funnel, reader, start_ms)
    if as_json:
        click.echo(json.dumps(_as_json(funnel, reader, start_ms, found), indent=2))
    else:
        _print(funnel, reader, start_ms, found)


def _written(name: str | None) -> Funnel:
    """The funnel as it stands in the files. Raises ContentError with its problems."""
    root = load().content
    names = content.names(root)
    if name is None and len(names) == 1:
        [name] = names
    if name not in names:
        says = "Say which with --funnel" if name is None else f"There is no funnel {name!r}"
        raise click.ClickException(f"{says}. Known: {', '.join(names) or 'none'}.")
    return content.read_one(root, name)[1]


def _stored(beginning: str) -> Funnel:
    """The funnel as it stood in the one revision whose id begins like this."""
    with assembled() as runtime, reading(runtime.tools.engine) as connection:
        ids = history.revisions_like(connection, beginning)
        if len(ids) == 1:
            return runtime.tools.funnel(connection, ids[0])
    many = f"{len(ids)} stored revisions have ids that begin" if ids else "No stored revision has an id that begins"
    raise click.ClickException(f"{many} like this.")


def _as_json(funnel: Funnel, reader: Reader, start_ms: int, found: Calendar) -> dict[str, object]:
    return {
        "funnel": funnel.name,
        "reader": {"pattern": reader.pattern, "secondary": reader.secondary, "pace": reader.pace, "zone": reader.zone},
        "start": iso(start_ms),
        "lessons": [
            {
                "number": each.number,
                "lesson": each.lesson.key,
                "due": iso(each.due_ms),
                "local": f"{each.local:%Y-%m-%d %H:%M}",
                "weekday": f"{each.local:%a}",
                "offset": offset(each.local),
                "why": why(each),
            }
            for each in found.entries
        ],
        "left_out": [{"lesson": lesson.key, "why": says} for lesson, says in found.left_out],
    }


def why(entry: Entry) -> list[str]:
    """Every reason for an entry's time, a sentence each."""
    return [*map(str, entry.reasons), *entry.notes]


def _print(funnel: Funnel, reader: Reader, start_ms: int, found: Calendar) -> None:
    begun = wall(start_ms, zone_for(funnel, reader.zone))
    who = f"{reader.pattern}, {reader.pace}" + (f", second {reader.secondary}" if reader.secondary else "")
    say(f"{funnel.name}: {who}, in {reader.zone}; confirmed on {begun:%a %Y-%m-%d %H:%M} {offset(begun)}.\n")
    table = Table(box=None, pad_edge=False)
    for name in ("#", "lesson", "day", "date", "time", "UTC", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for each in found.entries:
        clock = (f"{each.local:%a}", f"{each.local:%Y-%m-%d}", f"{each.local:%H:%M}", offset(each.local))
        table.add_row(str(each.number), Text(each.lesson.key), *clock, Text("; ".join(why(each))))
    Console().print(table)
    for lesson, says in found.left_out:
        say(f"Not for this reader: {lesson.key}" + (f" ({says})" if says else ""))
