"""The operator's commands about one person's data, and about how long data is kept."""

import os
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from funnel.core.retention import DAY_MS, RULES
from funnel.flow import erasing, retention, takeout
from funnel.operate import address_typed, assembled
from funnel.runtime import Runtime
from funnel.store.db import reading

NOBODY = "Nothing is kept about this address."
FOR_GOOD = "Everything about this person is deleted for good, and the provider is told to forget them."


@click.command(help="Write everything that is kept about an ADDRESS, as JSON. Asks for it if not given.")
@click.argument("address", required=False)
@click.option("--html", is_flag=True, help="Write a page to read instead, which needs nothing beside itself.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A new file, instead of the terminal.")
def export(address: str | None, html: bool, out: Path | None) -> None:
    found = address_typed(address)
    with assembled() as runtime:
        data = takeout.of_address(runtime.tools, found, runtime.now_ms())
        if data is None:
            raise click.ClickException(NOBODY)
        text = _page(runtime, data) if html else orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with open(out, "x", encoding="utf-8", opener=_for_its_owner) as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException("There is a file of that name already; choose another.") from None


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _page(runtime: Runtime, data: takeout.Data) -> str:
    from funnel.web.pages import renderer  # loads the web's framework: slow, and of use only here

    with reading(runtime.tools.engine) as connection:
        funnels = [funnel for _, funnel in runtime.tools.current(connection).values()]
    if not funnels:
        raise click.ClickException("No content is published, so there is no page; without --html it works.")
    funnel = next(
        (each for each in funnels if data["courses"] and each.title == data["courses"][-1]["site"]), funnels[0]
    )
    return renderer()("export", funnel=funnel.read_in(data["person"]["language"]), data=data)


@click.command(help="Erase everything about an ADDRESS. Asks for it if not given, and once more before it acts.")
@click.argument("address", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(address: str | None, yes: bool) -> None:
    found = address_typed(address)
    if not yes:
        click.confirm(f"{FOR_GOOD} Go on?", abort=True)
    with assembled() as runtime:
        if not erasing.erase(runtime.tools, found, runtime.now_ms()):
            raise click.ClickException(NOBODY)
    click.echo("Erased here. A worker tells the provider, and tries again until it agrees; `funnel doctor` shows it.")


@click.command(name="retention", help="Delete what has been kept long enough, as a worker does daily.")
@click.option("--dry-run", is_flag=True, help="Only count.")
def retention_command(dry_run: bool) -> None:
    with assembled() as runtime:
        periods, now_ms = runtime.settings.retention_ms, runtime.now_ms()
        old = retention.counts(runtime.tools, periods, now_ms)
        found = old if dry_run else _clear(runtime, old, now_ms)
    for name, rule in RULES.items():
        days = periods[name] // DAY_MS
        click.echo(f"{name:10} {days:5} days {found[name]:9,}  {rule.what}")
    if dry_run:
        click.echo("Nothing was deleted.")


def _clear(runtime: Runtime, old: dict[str, int], now_ms: int) -> dict[str, int]:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {name: bars.add_task(name, total=count) for name, count in old.items() if count}

        def show(name: str, count: int) -> None:
            if name in tasks:
                bars.advance(tasks[name], count)

        return retention.clear(runtime.tools, runtime.settings.retention_ms, now_ms, show)


COMMANDS = (export, erase, retention_command)
