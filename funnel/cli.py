"""The command line. Each command is a few lines."""

import asyncio

import click

from funnel import authoring, content, foresee, keeping, leash, logs, operate, personal, publishing
from funnel.flow.publish import Note, publish
from funnel.keyring import KeyringError
from funnel.runtime import Runtime, assemble, settle_down
from funnel.settings import Settings, SettingsError, load
from funnel.store.db import migrate


class _Says(click.Group):
    """Turns what an operator can mend into one sentence instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (SettingsError, KeyringError) as error:
            raise click.ClickException(str(error)) from None
        except content.ContentError as error:
            raise click.ClickException("The content has problems:\n" + str(error)) from None


@click.group(cls=_Says, help="A quiz that leads to a timed email course.")
def main() -> None:
    logs.configure()


for _command in (
    *authoring.COMMANDS,
    *publishing.COMMANDS,
    *operate.COMMANDS,
    *personal.COMMANDS,
    *keeping.COMMANDS,
    *foresee.COMMANDS,
):
    main.add_command(_command)


@main.command(help="Run everything here: web, worker, an embedded Valkey.")
def up() -> None:
    from funnel.up import up as run_up

    settings = load()
    release(settings)
    mails = f" · mails: {settings.base_url}/outbox" if settings.mail == "outbox" else ""
    run_up(settings, f"Open {settings.base_url}{mails} · Ctrl-C stops everything")


@main.command(help="Run the web process.")
def web() -> None:
    from funnel.web.server import serve

    leash.hold()
    settings = load()
    runtime = assemble(settings)
    settle_down()
    serve(runtime)
    runtime.close()


@main.command(help="Run the worker process.")
def worker() -> None:
    from funnel.worker import work

    leash.hold()
    settings = load()
    if not settings.redis_url:
        raise SettingsError("The worker needs REDIS_URL; `funnel up` brings a Valkey of its own.")
    asyncio.run(work(settings.redis_url))


@main.command(name="migrate", help="Bring the database up to date and store the content as a revision.")
def migrate_command() -> None:
    for funnel, revision in release(load()).items():
        click.echo(f"{funnel}: revision {revision[:12]}")


def release(settings: Settings) -> dict[str, str]:
    """Migrations, and the content as a revision when it is new."""
    runtime: Runtime = assemble(settings)
    try:
        migrate(runtime.tools.engine)
        return publish(runtime.tools, settings.content, runtime.now_ms(), Note(settings.author, "release"))
    finally:
        runtime.close()
