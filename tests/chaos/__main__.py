"""`make chaos`: kills everything, again and again, on SQLite and on PostgreSQL.

The exit code is 0 only if nothing was lost, nothing doubled without an excuse, and every book agrees.
"""

import argparse
import random
import sys
import time
from collections import Counter

import click

from tests.chaos.account import Account
from tests.chaos.killer import FORKS, Tempo
from tests.chaos.run import Plan, Run, prepared
from tests.chaos.steps import ROLES, labels

KINDS = ("sqlite", "postgresql")


def whole(kills: int) -> Plan:
    """About a kill a second."""
    tempo = Tempo(kills, kills * 5 // 4, gap_s=(0.6, 2.4), asleep_s=(0.5, 3.0))
    return Plan(
        readers=max(kills, 30), join_s=kills * 0.7, tempo=tempo, day_ms=1_500, silence_ms=4_000, drain_s=150,
        longest_s=60 + kills * 2.5,
    )  # fmt: skip


def short(kills: int) -> Plan:
    tempo = Tempo(kills, kills, gap_s=(0.5, 1.3), asleep_s=(0.3, 1.2))
    return Plan(
        readers=24, join_s=1, tempo=tempo, day_ms=100, silence_ms=2_500, drain_s=90, longest_s=15, faults=0.3, mute=0.4
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, help="of each database's run")
    parser.add_argument("--database", choices=KINDS, action="append")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the files of the run where they are")
    asked = parser.parse_args()
    click.echo(f"seed {asked.seed}")
    FORKS.set_forkserver_preload(["tests.chaos.children", "tests.chaos.run"])
    plan = short(asked.kills or 14) if asked.short else whole(asked.kills or 300)
    kills = failures = 0
    for kind in asked.database or KINDS:
        began = time.monotonic()
        with prepared(plan, kind, asked.seed, keep=asked.keep) as one:
            account = one.go()
            report(one, account, time.monotonic() - began)
            kills += one.killer.kills()
        failures += len(one.problems)
    click.echo(f"{kills} kills, {failures} problems (seed {asked.seed})")
    return 1 if failures else 0


def report(one: Run, account: Account, seconds: float) -> None:
    killer, counts = one.killer, account.counts
    at_labels: Counter[str] = Counter()
    victims = killer.random_kills.copy()
    for (label, victim), count in killer.labelled().items():
        at_labels[label] += count
        victims[victim] += count
    click.echo(f"\n{one.kind}: {killer.kills()} kills in {seconds:.0f} s ({_listed(one.seconds)})")
    click.echo(f"  killed          {_listed(victims)}; {sum(at_labels.values())} of them at labelled steps")
    click.echo(f"  not reached     {', '.join(killer.untouched()) or 'no label'}")
    click.echo(f"  Valkey          lost everything {killer.forgotten} times")
    click.echo(f"  requests        {_listed(one.post.faults.counts)}")
    click.echo(f"  webhook, site   {_listed(one.post.counts + one.crowd.counts)}")
    click.echo(f"  lessons         {account.lessons} delivered to {len(one.crowd.readers)} readers; {_listed(counts)}")
    click.echo(f"  censuses        {one.censuses}: every active course in one place")
    click.echo(f"  by a person     {one.decided} unknown batches that evidence could not settle")
    excused = account.duplicates - account.doubled
    click.echo(
        f"  lost {account.lost}, doubled {account.doubled}; {excused} duplicates that an ambiguous answer explains"
    )
    for line in account.explained:
        click.echo(f"    {line}")
    click.echo("  label → kills")
    for role in ROLES:
        for label in labels(role):
            click.echo(f"    {at_labels[label]:4} {label}")
    for problem in one.problems[:40]:
        click.echo(f"  PROBLEM {problem}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
