"""The operator's commands: look, decide, pause, and keep the suppressions."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from email_validator import EmailNotValidError, validate_email
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from funnel.flow import erasing, history, holding, resuming
from funnel.flow.doctor import Around, Finding, Level, evidence, examine, moment
from funnel.flow.lifting import lift
from funnel.flow.sweep import assume_sent, resend, unknown_batches
from funnel.keyring import KeyringError
from funnel.mail import check
from funnel.runtime import LAST_TICK, Runtime, assemble
from funnel.settings import Settings, load
from funnel.store import holds
from funnel.store.db import reading

if TYPE_CHECKING:
    from funnel.flow.poll import Polled
    from funnel.mail.suppressions import Suppressions

STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "bold red"}
AGAIN = "The same messages go out again, under the same names: whoever has theirs already may get it once more."
NOT_UNKNOWN = "No unknown batch has this name; `funnel unknown` lists them."


@click.command(help="Look at everything that mail depends on. The exit code is 1 when something is bad.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def doctor(as_json: bool) -> None:
    findings = _findings(load())
    healthy = all(finding.level != Level.BAD for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": healthy, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print((finding.level, finding.what, finding.says, finding.do) for finding in findings)
    if not healthy:
        sys.exit(1)


def _findings(settings: Settings) -> list[Finding]:
    try:
        runtime = assemble(settings)
    except KeyringError as error:
        return [Finding(Level.BAD, "keyring", str(error), "Nothing runs without it.")]
    try:
        around = Around(_redis_url(settings), LAST_TICK, partial(_check, settings), bool(settings.webhook_key))
        found = list(examine(runtime.tools, around, runtime.now_ms()))
        return [*found, *erasing.finding(runtime.tools), *history.finding(runtime.tools, settings.content)]
    finally:
        runtime.close()


def _check(settings: Settings) -> check.Answer:
    if settings.mail == "outbox":
        return check.outbox(settings.home / "outbox")
    if settings.mail == "sendgrid":
        return check.sendgrid(settings.sendgrid_key, settings.sendgrid_url)
    return check.smtp(settings.mail)


def _redis_url(settings: Settings) -> str | None:
    """The one that is set, or the socket of the Valkey that `funnel up` runs on this data folder."""
    folder = settings.home / "valkey"
    pointer = folder / "socket"
    socket = (Path(pointer.read_text()) if pointer.exists() else folder) / "valkey.sock"
    return settings.redis_url or (f"unix://{socket}" if socket.exists() else None)


@click.group(invoke_without_command=True, help="List the batches that nobody knows the fate of, or decide about one.")
@click.pass_context
def unknown(context: click.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    with assembled() as runtime, reading(runtime.tools.engine) as connection:
        now_ms = runtime.now_ms()
        rows = unknown_batches(connection)
        known = [(row, *evidence(connection, runtime.tools, row, now_ms)) for row in rows]
    if not known:
        click.echo("None.")
        return
    _print(
        (
            Level.BAD if waits else Level.WARN,
            row.uid,
            f"{row.size} recipients since {moment(row.started_ms)}; {says}",
            "",
        )
        for row, says, waits in known
    )
    click.echo("`funnel unknown sent UID` counts one as sent; `funnel unknown resend UID` hands it over again.")


@unknown.command(help="Count an unknown batch as sent: its readers go on to what comes next.")
@click.argument("uid")
def sent(uid: str) -> None:
    with assembled() as runtime:
        if not assume_sent(runtime.tools, uid, runtime.now_ms()):
            raise click.ClickException(NOT_UNKNOWN)
    click.echo("It counts as sent; the courses go on.")


@unknown.command(name="resend", help="Hand an unknown batch over again: " + AGAIN[0].lower() + AGAIN[1:])
@click.argument("uid")
@click.option("--yes", is_flag=True, help="Do not ask.")
def resend_command(uid: str, yes: bool) -> None:
    if not yes:
        click.confirm(f"{AGAIN} Go on?", abort=True)
    with assembled() as runtime:
        if not resend(runtime.tools, uid, runtime.now_ms()):
            raise click.ClickException(NOT_UNKNOWN)
    click.echo("It is planned again, and goes out with the next tick.")


@click.command(help="Hold all sending, or that of one funnel (or of provider:NAME), until somebody resumes it.")
@click.argument("funnel", required=False)
@click.option("--reason", default="paused by hand", show_default=True, help="Shown by the doctor.")
def pause(funnel: str | None, reason: str) -> None:
    with assembled() as runtime:
        if refusal := holding.pause(runtime.tools.engine, _scope(funnel), reason, runtime.now_ms()):
            raise click.ClickException(refusal)
    click.echo("Held. What a provider has already been given is still settled; nothing else starts.")


@click.command(help="Go on with all sending, or with one funnel (or with provider:NAME).")
@click.argument("funnel", required=False)
def resume(funnel: str | None) -> None:
    with assembled() as runtime:
        if not resuming.resume(runtime.tools, _scope(funnel), runtime.now_ms()):
            raise click.ClickException(f"Nothing held {funnel or 'all sending'}.")
        with reading(runtime.tools.engine) as connection:
            left = [row.scope for row in holds.listed(connection)]
    click.echo("Resumed." + (f" Still held: {', '.join(left)}." if left else ""))


def _scope(name: str | None) -> str:
    if name is None:
        return holds.EVERYTHING
    return name if name.startswith("provider:") else holds.funnel_scope(name)


@click.group(help="Addresses that are not mailed.")
def suppressions() -> None:
    pass


@suppressions.command(help="Read the provider's suppression lists now; a worker does so daily.")
def pull() -> None:
    with assembled() as runtime:
        settings = runtime.settings
        if settings.mail != "sendgrid":
            raise click.ClickException("Only SendGrid keeps suppression lists; this service mails another way.")
        polled = _pull(runtime, runtime.suppressions())
    for name, count in polled.read.items():
        click.echo(f"{name}: {count:,} read")
    for name, fault in polled.faults.items():
        onward = "run this again to go on" if fault.temporary else "it needs a person: run `funnel doctor`"
        click.echo(f"{name}: {fault}; {onward}.", err=True)
    if polled.faults:
        sys.exit(1)


def _pull(runtime: Runtime, lists: "Suppressions") -> "Polled":
    """Reads the lists under a bar for each. How long they are is not known before their ends."""
    from funnel.flow.poll import poll

    columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=done)

        polled = poll(runtime.tools, lists, runtime.now_ms(), show)
        for task in bars.tasks:
            if task.description not in polled.faults:
                bars.update(task.id, total=task.completed)
    return polled


@suppressions.command(
    name="lift", help="Let an ADDRESS sign up again, whatever stood against it. Asks for it if not given."
)
@click.argument("address", required=False)
def lift_command(address: str | None) -> None:
    found = address_typed(address)
    with assembled() as runtime:
        lifted = lift(runtime.tools, found)
    if lifted is None:
        raise click.ClickException("Nothing stood against this address.")
    click.echo(f"Lifted: {lifted.reason}, since {moment(lifted.at_ms)}. Nobody is mailed before signing up anew.")


def address_typed(address: str | None) -> str:
    """An address from the command line, or else asked for: so it stays out of the shell's history."""
    typed = address or click.prompt("Address")
    try:
        found = validate_email(typed, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError:
        raise click.ClickException("That is not an address.") from None
    return str(found.ascii_email)


@contextmanager
def assembled() -> Iterator[Runtime]:
    runtime = assemble(load())
    try:
        yield runtime
    except SQLAlchemyError as error:
        says = f"The database does not answer as it should ({type(error).__name__}); `funnel doctor` tells more."
        raise click.ClickException(says) from None
    finally:
        runtime.close()


def _print(lines: Iterable[tuple[Level, str, str, str]]) -> None:
    """A line each of level, name and what is to be said of it; what to do stands below that."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for level, name, says, do in lines:
        about = Text(says, overflow="fold")
        if do:
            about.append(f"\n→ {do}", STYLES[level])
        table.add_row(Text(level, STYLES[level]), Text(name, no_wrap=True), about)
    Console().print(table)


COMMANDS = (doctor, unknown, pause, resume, suppressions)
