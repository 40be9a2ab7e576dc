"""`make fuzz`: every route of the application, over real sockets, with a worker beside it.

The exit code is 1 when anything was answered with 5xx or not at all, or a process told of a fault; the smallest request
that does it is printed, byte for byte. A seed chooses what is sent; tokens and cookies in it are each run's own.
"""

import random
import sys
import tempfile
from pathlib import Path

import click

from tests.databases import Databases
from tests.web.fuzz.run import report, started


@click.command(help=__doc__)
@click.option("--minutes", type=float, default=10, show_default=True, envvar="FUZZ_MINUTES")
@click.option("--seed", default=lambda: str(random.SystemRandom().randrange(10**6)), envvar="FUZZ_SEED")
@click.option("--day", default="5s", show_default=True, help="How long a course day takes meanwhile.")
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", envvar="FUZZ_DATABASE")
def main(minutes: float, seed: str, day: str, database: str) -> None:
    click.echo(f"seed {seed}, {minutes:g} minutes, {database}")
    with tempfile.TemporaryDirectory() as folder:
        databases = Databases(Path(folder))
        try:
            wrong = _go(Path(folder) / "home", minutes, seed, day, databases.empty(database))
        finally:
            databases.close()
    sys.exit(1 if wrong else 0)


def _go(home: Path, minutes: float, seed: str, day: str, database_url: str) -> int:
    with started(home, seed, day, database_url) as run:
        run.go(minutes)
        if status := run.service.stop():
            click.echo(f"the service ended with {status}")
        return report(run) + status


if __name__ == "__main__":
    main()
