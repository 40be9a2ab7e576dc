"""The author's commands: look at content before anybody gets it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from email_validator import EmailNotValidError, validate_email
from rich.console import Console

from funnel.core.schedule import PACES
from funnel.settings import load

if TYPE_CHECKING:
    from funnel.preview.examine import Checked

ROOT_ARGUMENT = click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)


@click.command(help="Read the content and print everything that is wrong with it. Errors make the exit code 1.")
@ROOT_ARGUMENT
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the quiz's figures and the matrix.")
@click.option("--strict", is_flag=True, help="Warnings make the exit code 1, too.")
@click.option("--matrix", is_flag=True, help="Print who is spoken to in which lesson, and what people are told.")
def check(root: Path | None, as_json: bool, strict: bool, matrix: bool) -> None:
    from funnel.lint import report  # the web and the worker process do without all that looks at content

    found = look_at(root)
    console = Console(width=None if sys.stdout.isatty() else 200)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        report.show(console, found.findings)
        if matrix:
            for name, rows in found.matrices().items():
                report.show_matrix(console, name, rows)
            for name, balance in found.balances().items():
                report.show_balance(console, name, balance)
        for note in found.translated:
            click.echo(note)
        click.echo(report.summary(found.names, found.errors, found.warnings))
    if found.errors or (strict and found.warnings):
        sys.exit(1)


def look_at(root: Path | None) -> "Checked":
    """Everything that can be said of the content below `root`, or else of the one that the settings name."""
    from funnel import content
    from funnel.preview import examine
    from funnel.runtime import drafting

    settings = load()
    folder = root or settings.content
    try:
        tools = drafting(settings, folder)
    except content.ContentError as error:
        return examine.Checked(content.names(folder), examine.as_findings(error.problems, folder))
    return examine.check(tools, examine.site(settings, tools), folder)


@click.command(help="Show every page and lesson below ROOT on this machine, and again whenever a file is saved.")
@ROOT_ARGUMENT
@click.option("--port", type=click.IntRange(1, 65535), default=8100, show_default=True)
def preview(root: Path | None, port: int) -> None:
    from funnel.preview.server import serve
    from funnel.preview.studio import Studio

    settings = load()
    address = f"http://127.0.0.1:{port}"
    click.echo(f"Open {address} · Ctrl-C stops it")
    serve(Studio(settings, root or settings.content, address), port)


@click.command(name="send-test", help="Send lessons to ADDRESS now, marked as a test. Nothing is recorded.")
@click.argument("address")
@click.option("--funnel", "name", help="The funnel's folder; may be left out where there is one.")
@click.option("--pattern", required=True, help="The pattern whose lessons to send.")
@click.option("--lesson", help="The key of one lesson; the first if neither this nor --all is given.")
@click.option("--all", "every", is_flag=True, help="Every lesson of the pattern.")
@click.option("--secondary", help="As a reader with this second pattern gets them.")
@click.option("--pace", type=click.Choice(list(PACES)), default="as-written", show_default=True)
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where the content is.")
def send_test(
    address: str, name: str | None, pattern: str, lesson: str | None, every: bool,
    secondary: str | None, pace: str, root: Path | None,
) -> None:  # fmt: skip
    from funnel.preview.trial import Trial, try_out

    if every and lesson:
        raise click.ClickException("--all and --lesson exclude one another.")
    settings = load()
    trial = Trial(plain_address(address, local=settings.local_mail), name, pattern, lesson, every, secondary, pace)
    try:
        failed = try_out(settings, root or settings.content, trial, Console(stderr=True))
    except LookupError as error:
        raise click.ClickException(str(error.args[0])) from None
    if failed:
        raise click.ClickException(failed)
    where = f" They are in {settings.home / 'outbox'}." if settings.mail == "outbox" else ""
    click.echo(f"Sent, and nothing recorded.{where}")


def plain_address(typed: str, *, local: bool) -> str:
    """The address as we write to it. What was typed is not repeated."""
    try:
        found = validate_email(typed, check_deliverability=False, allow_smtputf8=False, test_environment=local)
    except EmailNotValidError:
        raise click.ClickException("That is not an address. It should read like name@example.org.") from None
    return str(found.ascii_email)


COMMANDS = (check, preview, send_test)
