"""The files of a backup: everything but what opens people, to be kept long; and that, kept short and apart.

On SQLite the first is a database of its own, on PostgreSQL what pg_dump writes. A file takes its name once it is whole.
"""

import os
import shutil
import sqlite3
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from sqlalchemy import Engine

from funnel.store.backup import APART

HEAD, END = ["funnel backup", 1], "end"
NAMES = tuple(table.name for table in APART)
_PARTS = "SELECT type, name, sql FROM source.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"


class BackupError(RuntimeError):
    """Why there is no backup, or nothing can be restored from it; the message says what to do."""


def save_data(engine: Engine, target: Path) -> None:
    """Everything that is not kept apart, as it is at this moment. Raises BackupError."""
    if target.exists():
        raise BackupError(f"{target} exists already: name a new file")
    if engine.dialect.name == "sqlite":
        _whole(target, lambda draft: _copy_sqlite(Path(str(engine.url.database)), draft))
    else:
        without = [f"--exclude-table-data={name}" for name in NAMES]
        _whole(target, lambda draft: _run(engine, "pg_dump", "-Fc", "--no-owner", *without, f"--file={draft}"))


def restore_data(engine: Engine, source: Path) -> None:
    """Fills an empty database. Raises BackupError."""
    if engine.dialect.name != "sqlite":
        _run(
            engine,
            "pg_restore",
            "--no-owner",
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={engine.url.database}",
            str(source),
        )
        return
    database = Path(str(engine.url.database))
    engine.dispose()
    _whole(database, lambda draft: _plain_copy(source, draft))


def save_apart(lines: Iterable[Any], target: Path) -> int:
    """What is kept apart, a line of JSON each. Replaces an older file. Returns how many lines there are."""
    count = 0

    def write(draft: Path) -> None:
        nonlocal count
        with draft.open("wb") as file:
            file.write(orjson.dumps(HEAD) + b"\n")
            for count, line in enumerate(lines, 1):  # noqa: B007 -- told at the end
                file.write(orjson.dumps(line) + b"\n")
            file.write(orjson.dumps([END, count]) + b"\n")

    _whole(target, write)
    return count


def read_apart(source: Path) -> Iterator[Any]:
    """The lines of a file that `save_apart` wrote. Raises BackupError at once, if it is not whole."""
    if not _is_whole(source):
        raise BackupError(f"{source} is not a whole file of keys, as `funnel backup` writes it")
    return _lines(source)


def _lines(source: Path) -> Iterator[Any]:
    with source.open("rb") as file:
        next(file)
        yield from (line for line in map(orjson.loads, file) if line[0] != END)


def _is_whole(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            head = next(file)
            [(count, last)] = deque(enumerate(file), maxlen=1)
            return [orjson.loads(head), orjson.loads(last)] == [HEAD, [END, count]]
    except (OSError, StopIteration, ValueError):
        return False


def _whole(target: Path, write: Callable[[Path], None]) -> None:
    """Its owner's alone from the first byte on, and on the disk before it takes its name."""
    draft = target.with_name(f"{target.name}.part")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{target} cannot be written ({type(error).__name__})") from None
    finally:
        draft.unlink(missing_ok=True)


def _copy_sqlite(source: Path, target: Path) -> None:
    """The whole schema, and every row but those that are kept apart: these never reach the file."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("ATTACH DATABASE ? AS source", (str(source),))
        copy.execute("BEGIN")
        parts = copy.execute(_PARTS).fetchall()
        tables = [(name, sql) for type_, name, sql in parts if type_ == "table"]
        for name, sql in tables:
            copy.execute(sql)
            if name not in NAMES:
                copy.execute(f'INSERT INTO main."{name}" SELECT * FROM source."{name}"')  # noqa: S608 -- its own names
        copy.execute("DELETE FROM main.sqlite_sequence")
        copy.execute("INSERT INTO main.sqlite_sequence SELECT * FROM source.sqlite_sequence")
        for type_, _, sql in parts:
            if type_ != "table":
                copy.execute(sql)
        copy.execute("COMMIT")


def _plain_copy(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as check:
            check.execute("SELECT version_num FROM alembic_version")
    except sqlite3.Error:
        raise BackupError(f"{source} is not a backup, as `funnel backup` writes it") from None
    shutil.copyfile(source, target)


def _run(engine: Engine, tool: str, *arguments: str) -> None:
    """One of PostgreSQL's own tools. It is told by its environment where to connect: everybody sees arguments."""
    from psycopg import pq  # large, and needed by nobody else who has another database

    found = shutil.which(tool)
    if not found:
        raise BackupError(f"{tool} is missing: install PostgreSQL's client programs, of the server's version")
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    options = pq.Conninfo.parse(url.encode())
    env = {each.envvar.decode(): each.val.decode() for each in options if each.envvar and each.val}
    done = subprocess.run(  # noqa: S603 -- our own arguments
        [found, *arguments], env={"PATH": os.defpath, **env}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BackupError(f"{tool} failed: {' '.join(last)}")
