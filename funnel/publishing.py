"""The commands that publish: look at what a change does, make it, move people, and take it back."""

import getpass
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from funnel import content
from funnel.core.changes import Kind
from funnel.core.moving import Policy
from funnel.core.sequence import Funnel
from funnel.flow import history, impact, publish, rebooking
from funnel.flow.doctor import moment
from funnel.flow.history import Difference, Snapshot
from funnel.flow.impact import Effect, Impact, Tally
from funnel.flow.publish import Note
from funnel.operate import assembled
from funnel.runtime import Runtime
from funnel.store.db import migrate
from funnel.store.publications import OPEN

STYLES = {Kind.ADDED: "green", Kind.REMOVED: "red", Kind.MOVED: "yellow", Kind.CHANGED: "cyan"}
PAUSE_S = 0.05  # when somebody else is at it
POLICIES = click.Choice([policy.value for policy in Policy])
_policy = click.option(
    "--policy",
    type=POLICIES,
    default=Policy.GENTLE.value,
    show_default=True,
    help="What becomes of people half-way through; docs/publishing.md tells.",
)
_author = click.option(
    "--author", help="Who publishes; FUNNEL_AUTHOR or the user's name on this machine, if not given."
)
_message = click.option("--message", "-m", default="", help="Why.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(name="publish", help="Make the content of ROOT current, and move those who wait by a policy.")
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--dry-run", is_flag=True, help="Only print what it would do to people.")
@_policy
@_author
@_message
def publish_command(root: Path | None, dry_run: bool, policy: str, author: str | None, message: str) -> None:
    with assembled() as runtime:
        migrate(runtime.tools.engine)
        folder = root or runtime.settings.content
        if dry_run:
            _dry_run(runtime, folder, Policy(policy))
            return
        before = history.listed(runtime.tools, None)[1]
        note = _note(runtime, author, message, policy)
        after = publish.publish(runtime.tools, folder, runtime.now_ms(), note)
        for name, revision_id in after.items():
            same = "nothing has changed" if before.get(name) == revision_id else "published"
            click.echo(f"{name}: revision {revision_id[:12]}, {same}")
        _move(runtime)


def _dry_run(runtime: Runtime, folder: Path, policy: Policy) -> None:
    found = impact.dry_run(runtime.tools, folder, policy, runtime.now_ms())
    for name, (funnel, effects) in found.items():
        _print_impact(name, funnel, effects)
    if not found:
        click.echo("Nothing has changed.")


@click.command(name="revisions", help="List what was published, the newest first.")
@click.argument("funnel", required=False)
def revisions_command(funnel: str | None) -> None:
    with assembled() as runtime:
        rows, current = history.listed(runtime.tools, funnel)
    table = Table("", "revision", "funnel", "when", "what", "policy", "by", "why", box=None, padding=(0, 2, 0, 0))
    seen = set()
    for row in rows:
        is_current = current.get(row.funnel) == row.revision_id and row.funnel not in seen
        seen.add(row.funnel)
        what = row.kind + (", undone" if row.undone_ms else "") + (", moving people" if row.state in OPEN else "")
        told = (row.funnel, moment(row.at_ms), what, row.policy, row.author, row.message)
        table.add_row("*" if is_current else "", row.revision_id[:12], *map(Text, told))
    Console().print(table)


@click.command(help="What differs between two revisions: `current`, `files`, a folder, or a revision's id, cut short.")
@click.argument("before", default=history.CURRENT)
@click.argument("after", default=history.FILES)
@click.option("--funnel", help="Where there are several.")
def diff(before: str, after: str, funnel: str | None) -> None:
    with assembled() as runtime:
        old, new = (_snapshot(runtime, name, funnel) for name in (before, after))
    if old.funnel != new.funnel:
        raise click.ClickException(f"These are two funnels: {old.funnel} and {new.funnel}.")
    _print_difference(history.compare(old, new), same=old.revision_id == new.revision_id)


@click.command(help="Publish an old revision of FUNNEL again: REVISION, or the one before the current one.")
@click.argument("funnel")
@click.argument("revision", required=False)
@_policy
@_author
@_message
@_yes
def rollback(funnel: str, revision: str | None, policy: str, author: str | None, message: str, yes: bool) -> None:
    with assembled() as runtime:
        wanted = _snapshot(runtime, revision, funnel) if revision else _earlier(runtime, funnel)
        old, now_ms = content.parse(wanted.funnel, wanted.files), runtime.now_ms()
        _print_impact(funnel, old, impact.impact(runtime.tools, funnel, old, Policy(policy), now_ms))
        if not yes:
            click.confirm(f"Publish revision {wanted.revision_id[:12]} again?", abort=True)
        note = _note(runtime, author, message, policy)
        _refused(publish.rollback(runtime.tools, funnel, wanted.revision_id, runtime.now_ms(), note))
        click.echo(f"{funnel}: revision {wanted.revision_id[:12]}, published again")
        _move(runtime)


@click.command(help="Take the last publication of FUNNEL back, for all who have not been mailed since.")
@click.argument("funnel")
@_author
@_message
@_yes
def undo(funnel: str, author: str | None, message: str, yes: bool) -> None:
    if not yes:
        click.confirm(
            "Whoever has not been mailed since waits again for what they waited for before. Go on?", abort=True
        )
    with assembled() as runtime:
        note = _note(runtime, author, message, Policy.GENTLE)
        _refused(publish.undo(runtime.tools, funnel, runtime.now_ms(), note))
        click.echo(f"{funnel}: revision {history.listed(runtime.tools, funnel)[1][funnel][:12]} is current again")
        _move(runtime)


@click.command(name="export-content", help="Write the files of REVISION (or `current`) below FOLDER, byte for byte.")
@click.argument("revision")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--funnel", help="Where there are several.")
def export_content(revision: str, folder: Path, funnel: str | None) -> None:
    with assembled() as runtime:
        found = _snapshot(runtime, revision, funnel)
    _refused(history.export(found, folder))
    click.echo(f"{len(found.files)} files of {found.funnel}, revision {found.revision_id[:12]}")


def _snapshot(runtime: Runtime, name: str, funnel: str | None) -> Snapshot:
    found = history.find(runtime.tools, runtime.settings.content, name, funnel)
    if isinstance(found, str):
        raise click.ClickException(found)
    return found


def _earlier(runtime: Runtime, funnel: str) -> Snapshot:
    earlier = history.earlier(runtime.tools, funnel)
    if earlier is None:
        raise click.ClickException(f"There is no earlier revision of {funnel!r} to go back to.")
    return _snapshot(runtime, earlier, funnel)


def _refused(reason: str | None) -> None:
    if reason:
        raise click.ClickException(reason)


def _note(runtime: Runtime, author: str | None, message: str, policy: str) -> Note:
    return Note(author or runtime.settings.author or _user(), message, Policy(policy))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _move(runtime: Runtime) -> None:
    """Moves people to the end, under a bar. Whoever breaks it off finds the workers go on."""
    total = rebooking.to_look_at(runtime.tools)
    if not total:
        return
    with _bar(total) as advance:
        moved = rebooking.move_all(runtime.tools, runtime.now_ms, advance)
    click.echo(f"{moved:,} people moved")


@contextmanager
def _bar(total: int) -> Iterator[Callable[[rebooking.Part | None], None]]:
    columns = (TextColumn("moving people"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=total)

        def advance(part: rebooking.Part | None) -> None:
            if part is None:
                time.sleep(PAUSE_S)
            else:
                bars.update(task, advance=part.seen)

        yield advance


def _print_impact(name: str, funnel: Funnel, found: Impact) -> None:
    click.echo(
        f"{name}: {found.waiting:,} people wait for a lesson, {found.unmoved:,} of them see no difference; "
        f"{found.on_their_way:,} lessons are on their way; {found.finished:,} who had finished get something more."
    )
    order = [lesson.key for pattern in funnel.patterns.values() for lesson in pattern.lessons]
    table = Table("lesson", "what", "people", "would have come", "comes", box=None, padding=(0, 2, 0, 0))
    for lesson in sorted(found.lessons, key=lambda key: order.index(key) if key in order else len(order)):
        for effect in Effect:
            if tally := found.lessons[lesson].get(effect):
                table.add_row(lesson, effect.value, f"{tally.count:,}", _dates(tally.before), _dates(tally.after))
    if table.rows:
        Console().print(table)
    click.echo(f"Nobody gets a lesson twice{'' if not _repeats(found.lessons) else ': the ledger keeps them from it'}.")


def _repeats(lessons: Mapping[str, Mapping[Effect, Tally]]) -> bool:
    return any(Effect.REPEAT in effects for effects in lessons.values())


def _dates(span: tuple[int, int] | None) -> str:
    if span is None:
        return ""
    first, last = (f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}" for at_ms in span)
    return first if first == last else f"{first} … {last}"


def _print_difference(found: Difference, *, same: bool) -> None:
    console = Console(highlight=False)
    for change in found.lessons:
        console.print(Text(f"{change.pattern} / {change.lesson}: {change.kind}", STYLES[change.kind]))
        for sentence in change.says:
            console.print(Text(f"  {sentence}"))
        _print_lines(console, change.text)
    for path, lines in found.files.items():
        console.print(Text(path, "bold"))
        _print_lines(console, lines)
    if not (found.lessons or found.files):
        click.echo("The same." if same else "They differ, but in nothing that anybody sees.")


def _print_lines(console: Console, lines: tuple[str, ...]) -> None:
    for line in lines:
        console.print(Text(f"    {line}", {"+": "green", "-": "red"}.get(line[:1], "dim")))


COMMANDS = (publish_command, revisions_command, diff, rollback, undo, export_content)
