"""Rotating keys while people sign up and mail goes out: another version comes into use, then every key is wrapped anew.

A process that knows only the old version can read nobody who came, or was wrapped, since. It does no harm: it looks for
the newer keyring where it can, and else leaves such mail and sign-ups alone. So every process is given a new version
before it comes into use. Fingerprints of addresses stay under the version that they were made with: those of erased
people cannot be made anew, and an address must never be known under two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from funnel.flow.doctor import Finding, Level
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.store import keys
from funnel.store.db import reading, writing

AT_ONCE = 1_000


class Held(StrEnum):
    """What this process has of a version."""

    WHOLE = "whole"
    RETIRED = "retired"
    MISSING = "missing"


@dataclass(frozen=True)
class Version:
    """A version of the keyring: since when it has sealed people (None: it has not), and how many keys it wraps."""

    number: int
    held: Held
    in_use: bool
    since_ms: int | None
    wraps: int


class Part(NamedTuple):
    """A part of the work: how many keys were looked at, how many of them nobody can read, and the last one's id."""

    seen: int
    lost: int
    last: int


class Rotated(NamedTuple):
    """The version in use, how many keys are wrapped anew, and how many nobody can read."""

    version: int
    anew: int
    lost: int


def status(tools: Tools) -> list[Version]:
    """Every version that is here or has ever been in use, the oldest first."""
    with reading(tools.engine) as connection:
        used, wraps = keys.used(connection), keys.wrapped(connection)
    ring = tools.keyring
    return [
        Version(number, _held(tools, number), number == max(used, default=None), used.get(number), wraps.get(number, 0))
        for number in sorted({*ring.whole, *ring.retired, *used, *wraps})
    ]


def _held(tools: Tools, number: int) -> Held:
    if number in tools.keyring.whole:
        return Held.WHOLE
    return Held.RETIRED if number in tools.keyring.retired else Held.MISSING


def is_done(tools: Tools) -> bool:
    """Whether the newest version is in use and wraps every key: there is nothing to rotate to."""
    newest = tools.keyring.version
    return all(each.number == newest for each in status(tools) if each.in_use or each.wraps)


def is_begun(tools: Tools) -> bool:
    """Whether the newest version is in use already."""
    return any(each.in_use and each.number == tools.keyring.version for each in status(tools))


def to_rewrap(tools: Tools) -> int:
    """How many keys are not wrapped under the newest version."""
    return sum(each.wraps for each in status(tools) if each.number != tools.keyring.version)


def rotate(
    tools: Tools, now_ms: int, show: Callable[[Part], None] = lambda _: None, limit: int = AT_ONCE
) -> Rotated | None:
    """Brings the newest version into use, and wraps every key under it, part by part.

    Whoever is broken off begins again, and goes on where it stopped. None when a newer version is in use than is here.
    """
    version = begin(tools, now_ms)
    if version != tools.keyring.version:
        return None
    found = Rotated(version, 0, 0)
    for kind in keys.WRAPPED:
        after = 0
        while (part := rewrap_some(tools, kind, version, after, limit)).seen:
            found = Rotated(version, found.anew + part.seen - part.lost, found.lost + part.lost)
            after = part.last
            show(part)
    return found


def begin(tools: Tools, now_ms: int) -> int:
    """Brings the newest version into use, unless a newer one is; returns the one in use."""
    newest = tools.keyring.version
    with writing(tools.engine) as connection:
        before = keys.in_use(connection)
        if before is not None and before >= newest:
            return before
        return keys.use(connection, newest, now_ms, replacing=before)


def rewrap_some(tools: Tools, kind: keys.Wrapped, version: int, after: int, limit: int) -> Part:
    """Wraps the next keys of a kind under a version. Nothing but the writing of them holds anybody up."""
    with reading(tools.engine) as connection:
        rows = keys.not_under(connection, kind, version, after, limit)
    anew, lost = [], 0
    for row in rows:
        try:
            key = tools.keyring.unwrap(row.version, row.wrapped, row.context)
        except Unreadable:
            lost += 1
            continue
        anew.append((row.id, row.wrapped, *tools.keyring.wrap(key, row.context, version)))
    with writing(tools.engine) as connection:
        keys.rewrap(connection, kind, anew)
    return Part(len(rows), lost, rows[-1].id if rows else after)


def refusal(tools: Tools, number: int) -> str | None:
    """Why a version cannot be retired, or None when it can."""
    found = {each.number: each for each in status(tools)}.get(number)
    if found is None or found.held == Held.MISSING:
        return f"There is no version {number} here."
    if found.held == Held.RETIRED:
        return f"Version {number} is retired already."
    if found.wraps:
        return f"{found.wraps:,} keys are still wrapped under version {number}: run `funnel keys rotate` first."
    if found.in_use or number == tools.keyring.version:
        return f"Version {number} is the one in use, or the next: rotate to a newer one first."
    return None


def finding(tools: Tools) -> list[Finding]:
    """What the doctor says of the versions; nothing where the database does not answer."""
    try:
        found = status(tools)
    except SQLAlchemyError:
        return []  # told of elsewhere
    what, numbers = "key versions", ", ".join(str(each.number) for each in found)
    lost = [each for each in found if each.held != Held.WHOLE and (each.wraps or each.in_use)]
    if lost:
        says = "; ".join(f"version {each.number} is not here, and {each.wraps:,} people need it" for each in lost)
        return [Finding(Level.BAD, what, says, "Put it back into FUNNEL_KEYS, or the keyring file.")]
    if missing := [str(each.number) for each in found if each.held == Held.MISSING]:
        says = f"version {', '.join(missing)} was in use once and is not here"
        do = "Put it back, or what `funnel keys retire` left of it: it finds suppressed addresses, and opens old links."
        return [Finding(Level.WARN, what, says, do)]
    if sum(bool(each.wraps) for each in found) > 1:
        return [Finding(Level.WARN, what, "a rotation has not come to its end", "Run `funnel keys rotate`.")]
    return [Finding(Level.OK, what, f"{numbers}; all that is needed is here")]
