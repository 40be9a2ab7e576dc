"""`funnel why`: what happened to a course or a delivery, and why, without the person."""

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from funnel.flow.why import Story, of_delivery, of_enrollment
from funnel.flow.wording import clock
from funnel.foresee.terminal import iso, say
from funnel.operate import assembled

SHOW = "Show lesson keys, segments and conditions, which tell the reader's pattern."


@click.group(name="why", help="What happened to a course or a delivery, and why. Names nobody, and no pattern.")
def why_command() -> None:
    pass


@why_command.command(help="The story of one lesson for one reader.")
@click.argument("number", type=int)
@click.option("--show-lessons", is_flag=True, help=SHOW)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def delivery(number: int, show_lessons: bool, as_json: bool) -> None:
    with assembled() as runtime:
        told = of_delivery(runtime.tools, number, runtime.now_ms(), lessons=show_lessons)
    _show("delivery", number, told, as_json=as_json)


@why_command.command(help="The story of one reader's course.")
@click.argument("number", type=int)
@click.option("--show-lessons", is_flag=True, help=SHOW)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def enrollment(number: int, show_lessons: bool, as_json: bool) -> None:
    with assembled() as runtime:
        told = of_enrollment(runtime.tools, number, runtime.now_ms(), lessons=show_lessons)
    _show("enrollment", number, told, as_json=as_json)


def _show(what: str, number: int, told: Story | None, *, as_json: bool) -> None:
    if told is None:
        raise click.ClickException(f"There is no {what} {number}.")
    if as_json:
        lines = [{**asdict(line), "at": None if line.at_ms is None else iso(line.at_ms)} for line in told.lines]
        click.echo(json.dumps({"about": dict(told.about), "lines": lines, "gaps": list(told.gaps)}, indent=2))
    else:
        _print(told)


def _print(told: Story) -> None:
    for name, value in told.about.items():
        say(f"{name + ':':<11} {value}")
    table = Table(box=None, pad_edge=False)
    for name in ("when", "delivery", "what", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for line in told.lines:
        when = "no time on record" if line.at_ms is None else clock(line.at_ms)
        table.add_row(when, "" if line.delivery is None else str(line.delivery), Text(line.what), Text(line.says))
    say("")
    Console().print(table)
    for gap in told.gaps:
        say(f"\n{gap}", "yellow")
