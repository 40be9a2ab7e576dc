"""`make chaos`: kills everything, again and again, on SQLite and on PostgreSQL, with each provider.

The exit code is 0 only if nothing was lost, nothing doubled without an excuse, every book agrees, and somebody was
killed at every labelled step.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from tests.chaos import plans
from tests.chaos.account import Account
from tests.chaos.killer import FORKS
from tests.chaos.plans import Plan
from tests.chaos.run import Run, prepared
from tests.chaos.steps import ROLES, labels

KINDS = ("sqlite", "postgresql")
MAILS = ("sendgrid", "smtp", "outbox")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=510, help="of each database's run with SendGrid")
    parser.add_argument("--database", choices=KINDS, action="append")
    parser.add_argument("--mail", choices=MAILS, action="append")
    parser.add_argument("--short", action="store_true", help="a dozen kills by a script, with SendGrid")
    parser.add_argument("--keep", action="store_true", help="leave the files of the run where they are")
    asked = parser.parse_args()
    click.echo(f"seed {asked.seed}")
    FORKS.set_forkserver_preload(["tests.chaos.children", "tests.chaos.run"])
    totals: Counter[str] = Counter()
    for plan in [plans.short()] if asked.short else _plans(asked.mail or MAILS, asked.kills):
        for kind in asked.database or KINDS:
            totals.update(_go(plan, kind, asked.seed, keep=asked.keep))
    click.echo("\nall: " + ", ".join(f"{count} {name}" for name, count in totals.items()) + f" (seed {asked.seed})")
    return 1 if totals["problems"] else 0


def _plans(mails: Sequence[str], kills: int) -> Iterator[Plan]:
    """Fewer kills where nothing but the provider differs."""
    if "sendgrid" in mails:
        yield plans.whole(kills)
    if "smtp" in mails:
        yield plans.untold(max(kills * 3 // 10, 10), "smtp", "resend")
        yield plans.untold(max(kills * 3 // 10, 10), "smtp", "hold")
    if "outbox" in mails:
        yield plans.untold(max(kills // 10, 10), "outbox", "hold")


def _go(plan: Plan, kind: str, seed: int, *, keep: bool) -> Counter[str]:
    began = time.monotonic()
    with prepared(plan, kind, seed, keep=keep) as one:
        account = one.go()
        report(one, account, time.monotonic() - began)
        totals = Counter({"kills": one.killer.kills(), "lessons": account.lessons, "lost": account.lost})
        totals.update({"doubled": account.doubled, "explained duplicates": account.causes.total()})
        totals.update({"problems": len(one.problems)})
        return totals


def report(one: Run, account: Account, seconds: float) -> None:
    killer, plan = one.killer, one.plan
    victims = killer.random_kills.copy()
    for (_, victim), count in killer.labelled().items():
        victims[victim] += count
    policy = f', unknown = "{plan.policy}"' if plan.mail == "smtp" else ""
    click.echo(f"\n{one.kind}, {plan.mail}{policy}: {killer.kills()} kills in {seconds:.0f} s ({_listed(one.seconds)})")
    click.echo(f"  killed          {_listed(victims)}; {killer.by_label().total()} of them at labelled steps")
    more = {"naps": killer.naps(), "pauses": one.operator.pauses, "times that Valkey lost everything": killer.forgotten}
    click.echo(f"  more than that  {_listed(Counter(more)) or 'nothing'}")
    click.echo(f"  requests        {_listed(one.post.faults)}")
    click.echo(f"  webhook, site   {_listed(one.post.counts + one.crowd.counts)}")
    readers = len(one.crowd.readers)
    click.echo(f"  lessons         {account.lessons} delivered to {readers} readers; {_listed(account.counts)}")
    click.echo(f"  censuses        {one.censuses}: every active course in one place")
    click.echo(f"  doubts settled  {_listed(account.decided) or 'none'}")
    click.echo(f"  lost {account.lost}, doubled {account.doubled}, in doubt for good {account.in_doubt}")
    click.echo(f"  {account.causes.total()} explained duplicates: {_listed(account.causes) or 'none'}")
    for line in account.explained:
        click.echo(f"    {line}")
    if not plan.tempo.script:
        _report_labels(one)
    for problem in one.problems[:40]:
        click.echo(f"  PROBLEM {problem}")


def _report_labels(one: Run) -> None:
    killed = one.killer.by_label()
    click.echo("  label → kills")
    for role in ROLES:
        for label in labels(role, one.plan.mail):
            click.echo(f"    {killed[label]:4} {label}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count)


if __name__ == "__main__":
    sys.exit(main())
