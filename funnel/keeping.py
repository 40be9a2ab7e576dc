"""The commands that keep what people confided: the keys, the proof of what they agreed to, and backups."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from funnel import backup, keyfile, presence
from funnel.backup import BackupError
from funnel.flow import restoring, rotation
from funnel.flow.doctor import moment
from funnel.flow.proof import Agreement, prove
from funnel.flow.rotation import Held, Part, Version
from funnel.flow.wording import clock
from funnel.keyring import fresh_entry
from funnel.operate import address_typed, assembled
from funnel.runtime import Runtime
from funnel.store.backup import is_empty
from funnel.store.db import migrate, reading

DEPLOYED = "Web and worker processes without version {} will turn people away until they have it ({}). Go on?"
WITHOUT = (
    "Version {} has not reached: {}. Start them anew with the FUNNEL_KEYS of this command; what has ended is forgotten "
    "within a minute."
)


@click.group(help="The keyring: which of its versions are needed for what, and changing to a newer one.")
def keys() -> None:
    pass


@keys.command(help="Every version: since when it has sealed people, how many keys it wraps, and whether it is needed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def status(as_json: bool) -> None:
    with assembled() as runtime:
        found = rotation.status(runtime.tools)
    if as_json:
        click.echo(
            orjson.dumps([{**asdict(each), "says": _says(each, found)} for each in found], option=orjson.OPT_INDENT_2)
        )
        return
    table = Table("version", "in use since", "wraps", "", box=None, padding=(0, 2, 0, 0))
    for each in found:
        since = "" if each.since_ms is None else moment(each.since_ms) if each.since_ms else "the beginning"
        table.add_row(str(each.number), since, f"{each.wraps:,}", Text(_says(each, found)))
    Console().print(table)


def _says(version: Version, found: list[Version]) -> str:
    """What a version is needed for, and what may be done about it."""
    number, newest = version.number, max(each.number for each in found if each.held == Held.WHOLE)
    if version.held == Held.MISSING:
        lost = "nobody can read them" if version.wraps else "addresses and links of its time are not recognized"
        return f"missing: {lost}; put it back"
    if version.held == Held.RETIRED:
        return "retired: still finds addresses that came in its time, suppressed ones too, and opens links; keep it"
    if version.in_use:
        return "in use" + (f"; `funnel keys rotate` changes to version {newest}" if number < newest else "")
    if number == newest:
        return "not in use yet: `funnel keys rotate`, once every process has it"
    if version.wraps:
        return "still opens people: `funnel keys rotate` wraps them anew"
    return f"opens nobody any more: `funnel keys retire {number}` leaves of it what finds addresses and opens links"


@keys.command(
    help="Change to the newest version: seal with it from now on, and wrap every key anew. Can be broken off."
)
@click.option("--yes", is_flag=True, help="Do not ask whether every process has the new version.")
def rotate(yes: bool) -> None:
    with assembled() as runtime:
        _provide(runtime, yes)
        with _bar(rotation.to_rewrap(runtime.tools)) as advance:
            found = rotation.rotate(runtime.tools, runtime.now_ms(), advance)
        if found is None:
            raise click.ClickException("A newer version is in use than this keyring has: use the keyring of today.")
        click.echo(f"Version {found.version} is in use; {found.anew:,} keys were wrapped anew.")
        if found.lost:
            raise click.ClickException(
                f"{found.lost:,} keys cannot be opened: `funnel keys status` tells what is missing."
            )
        free = [
            each.number
            for each in rotation.status(runtime.tools)
            if rotation.refusal(runtime.tools, each.number) is None
        ]
    for number in free:
        click.echo(f"Version {number} opens nobody any more: `funnel keys retire {number}`.")


def _provide(runtime: Runtime, yes: bool) -> None:
    """A version to change to: the keyring's file is given one; FUNNEL_KEYS must have got one, here and everywhere."""
    done = rotation.is_done(runtime.tools)
    path = _place(runtime)
    if path and done:
        click.echo(
            f"Version {keyfile.add_version(path)} is in {path}; keep a copy of that file apart from the database."
        )
        runtime.tools.keyring.refresh()
    elif done:
        raise click.ClickException(
            "Nothing to change to: `funnel keys new` makes a version; add it to FUNNEL_KEYS, start every process anew."
        )
    elif not path and not rotation.is_begun(runtime.tools):
        _need_deployed(runtime, yes)


def _need_deployed(runtime: Runtime, yes: bool) -> None:
    """Every process that says that it is there must have the new version; of others only the operator knows."""
    version = runtime.tools.keyring.version
    there = presence.processes(runtime.redis)
    if without := [each.name for each in there or () if version not in each.versions]:
        raise click.ClickException(WITHOUT.format(version, "; ".join(without)))
    known = (
        "Redis does not answer, so nobody is known" if there is None else f"{len(there)} known to be running have it"
    )
    if not yes:
        click.confirm(DEPLOYED.format(version, known), abort=True)


@keys.command(help="Print an entry for FUNNEL_KEYS: the next version, with a fresh key. Nothing else changes.")
def new() -> None:
    with assembled() as runtime:
        click.echo(fresh_entry(runtime.tools.keyring.version + 1))


@keys.command(help="Leave of a VERSION that opens nobody any more only what finds addresses and opens links.")
@click.argument("version", type=int)
def retire(version: int) -> None:
    with assembled() as runtime:
        if refused := rotation.refusal(runtime.tools, version):
            raise click.ClickException(refused)
        path = _place(runtime)
        if path:
            keyfile.retire(path, version)
            click.echo(f"Version {version} is retired. Destroy old copies of {path}: they still open old backups.")
        else:
            click.echo(f"Put this into FUNNEL_KEYS instead of version {version}, and destroy the old one:", err=True)
            click.echo(runtime.tools.keyring.retired_entry(version))


def _place(runtime: Runtime) -> Path | None:
    """The keyring's file; None where the keyring is a setting."""
    return None if runtime.settings.keys else runtime.settings.keyring


@click.command(help="Prove what ADDRESS agreed to, wording by wording. Asks for the address if it is not given.")
@click.argument("address", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def consent(address: str | None, as_json: bool) -> None:
    wanted = address_typed(address)
    with assembled() as runtime:
        found = prove(runtime.tools, wanted)
    if found is None:
        raise click.ClickException("Nobody has this address: they never signed up, or were erased.")
    if as_json:
        told = [{**asdict(each), "proven": each.is_proven, "stands": each.stands} for each in found]
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n\n".join(map(_told, found)) or "Nothing was ever put to them.")
    if not all(each.is_proven for each in found):
        raise click.ClickException("A wording is not the one that was agreed to: see where its hash does not match.")


def _told(agreement: Agreement) -> str:
    matches = "matches the text" if agreement.is_proven else "DOES NOT MATCH THE TEXT"
    lines = [
        f"{agreement.purpose}: {'stands' if agreement.stands else 'does not stand'}",
        *(f"  {step.action} {clock(step.at_ms)}" for step in agreement.steps),
        f"  wording sha256 {agreement.wording_hash}, {matches}",
        f"  funnel {agreement.funnel or 'unknown'}, language {agreement.locale}, revision {agreement.revision}",
        *(f"  | {line}" for line in (agreement.wording or "(the text is not kept)").splitlines()),
    ]
    return "\n".join(lines)


_file = click.Path(dir_okay=False, path_type=Path)
_data = click.option("--data", type=_file, help="Everything but what opens people: to be kept long.")
_keys = click.option(
    "--keys", "apart", type=_file, help="What opens people, and whom not to mail: apart, and only the newest."
)


@click.command(
    name="backup", help="Write a backup in two parts, or one of them: docs/keeping.md tells how to keep them."
)
@_data
@_keys
def backup_command(data: Path | None, apart: Path | None) -> None:
    if not data and not apart:
        raise click.UsageError("Name a file for --data, for --keys, or for both.")
    with assembled() as runtime, _told_faults():
        if data:
            backup.save_data(runtime.tools.engine, data)
            click.echo(f"{data}: everything but what opens people")
        if apart:  # after the data: whoever is in them is in these, unless erased
            click.echo(
                f"{apart}: {backup.save_apart(restoring.apart(runtime.tools), apart):,} lines; keep no older ones"
            )


@click.command(help="Fill an empty database from both parts of a backup: the data of any day, the newest keys.")
@_data
@_keys
def restore(data: Path | None, apart: Path | None) -> None:
    if not data or not apart:
        raise click.UsageError("Name both files: --data and --keys.")
    with assembled() as runtime, _told_faults():
        engine = runtime.tools.engine
        with reading(engine) as connection:
            if not is_empty(connection):
                raise click.ClickException("The database is not empty: name an empty one, or move this one away.")
        lines = backup.read_apart(apart)
        backup.restore_data(engine, data)
        migrate(engine)
        found = restoring.bring_up_to_date(runtime.tools, lines, runtime.now_ms())
    click.echo(f"{found.people:,} people are back; {found.erased:,} were erased since, and stay so.")
    click.echo("Run `funnel doctor` before you start the service.")


@contextmanager
def _told_faults() -> Iterator[None]:
    try:
        yield
    except BackupError as error:
        raise click.ClickException(f"{error}.") from None


@contextmanager
def _bar(total: int) -> Iterator[Callable[[Part], None]]:
    columns = (TextColumn("wrapping keys anew"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=total)
        yield lambda part: bars.update(task, advance=part.seen)


COMMANDS = (keys, consent, backup_command, restore)
