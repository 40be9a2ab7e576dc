"""Engines and transactions for SQLite and PostgreSQL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Function, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 10_000
LOOK_S = 0.001
CACHE_KIB = 4_096  # a planning of 20,000 writes that much; SQLite's own 2 MB would be written out half-way
# Once the journal is this long, each of its pages goes into the database, once however often it was changed. While mail
# goes out the same pages change again and again: SQLite's own 1,000 would have a third more written.
JOURNAL_PAGES = 16_000
# Rows are read where the system keeps the file: a system call and a copy less for each of a start's scattered pages.
MAPPED_BYTES = 0x7FFF0000  # the most that SQLite maps
# libpq's own names; without them a server that has gone is waited for until the system gives up, a quarter of an hour.
PATIENCE: dict[str, Any] = {
    "connect_timeout": 10,  # seconds, as the next three
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
# In order tables are joined and counted at the speed of memory that is read in a row; hashed, a million people are a
# million leaps through it.
_BIG = (
    *("enable_mergejoin = on", "enable_nestloop = off", "enable_hashagg = off", "work_mem = '64MB'"),
    *("max_parallel_workers_per_gather = 2", "parallel_setup_cost = 0", "parallel_tuple_cost = 0.001"),
)
# For a question to which PostgreSQL answers with thousands of rows: written out as text, keys take twice their room.
BINARY = {"binary": True}
_STARTS = 0x66756E6E656C  # any numbers that nobody else locks by
_SEALS = _STARTS + 1


def open_engine(url: str) -> Engine:
    """An engine for `url`; the forms that hosting platforms hand out (postgres://…) work."""
    parsed = make_url(url)
    if parsed.get_backend_name() in ("postgres", "postgresql"):
        driver = parsed.set(drivername="postgresql+psycopg")
        patience = {name: limit for name, limit in PATIENCE.items() if name not in parsed.query}
        options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 8, "pool_use_lifo": True}
        engine = create_engine(driver, **options, hide_parameters=True, connect_args=patience)
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "before_cursor_execute", _ask_for_binary)
        return engine
    engine = create_engine(parsed, pool_size=8, max_overflow=40, pool_use_lifo=True, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. On SQLite it takes the write lock at once, so that it never fails half-way for it."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection = connection.execution_options(begin="IMMEDIATE")
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads."""
    with engine.connect() as connection:
        yield connection


@contextmanager
def one_big_question(connection: Connection) -> Iterator[None]:
    """For a question, answered in full inside, that reads whole tables once from end to end, unlike all others.

    Whatever is written inside is taken back on PostgreSQL.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    with connection.begin_nested() as inside:
        for setting in _BIG:
            connection.execute(text(f"SET LOCAL {setting}"))
        yield
        inside.rollback()  # the settings go with it


def share_starts(connection: Connection) -> None:
    """Taken before a batch is started: whoever wants to stop its mail waits until the start is committed.

    One lock for all, not one a row: locking a row of PostgreSQL writes it. SQLite has one writer anyway.
    """
    _lock(connection, func.pg_advisory_xact_lock_shared(_STARTS))


def exclude_starts(connection: Connection) -> None:
    """Taken before something changes that a start must see: no batch starts until the transaction ends."""
    _lock(connection, func.pg_advisory_xact_lock(_STARTS))


def share_seals(connection: Connection) -> None:
    """Taken before somebody new is sealed: the keyring's version in use stays so until the transaction ends."""
    _lock(connection, func.pg_advisory_xact_lock_shared(_SEALS))


def exclude_seals(connection: Connection) -> None:
    """Taken before another version comes into use: whoever seals under the old one has committed."""
    _lock(connection, func.pg_advisory_xact_lock(_SEALS))


def _lock(connection: Connection, taking: Function[Any]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(taking))


def empty_journal(engine: Engine) -> None:
    """What is deleted is overwritten in SQLite's database; after this, it is not in the journal either.

    Waits for nobody: while others read or write, it is left for the next time. PostgreSQL looks after its own.
    """
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as held, _impatient(held.driver_connection) as raw:
            # The first holds up nobody; it leaves little for the second, which holds up whoever wants to write.
            for how in ("PASSIVE", "TRUNCATE"):
                raw.execute(f"PRAGMA wal_checkpoint({how})").fetchall()


def migrate(engine: Engine) -> None:
    """Brings the schema up to date; from an empty database or from any earlier version."""
    from alembic import command  # here and below: large, and of no use to who finds the schema up to date

    with engine.connect() as connection:
        command.upgrade(_config(connection), "head")
        connection.commit()


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one this code was written for."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    found = MigrationContext.configure(connection).get_current_revision()
    return found == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def now_ms(connection: Connection) -> int:
    """The database's clock."""
    if connection.dialect.name == "sqlite":
        return int(connection.scalar(text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")))
    return int(connection.scalar(text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")))


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _prepare_postgresql(raw: Any, _record: object) -> None:
    # Every query here looks up a few thousand rows by a key. Left to its estimates the planner reads whole tables while
    # they are small and joins them by hashing: cheap for one big question, dear for many small ones.
    raw.autocommit = True
    with raw.cursor() as cursor:
        for setting in ("enable_hashjoin", "enable_mergejoin", "jit"):
            cursor.execute(f"SET {setting} = off")
        cursor.execute("SET random_page_cost = 1.1")
        cursor.execute("SET max_parallel_workers_per_gather = 0")
    raw.autocommit = False


def _ask_for_binary(_connection: Any, cursor: Any, _sql: str, _values: Any, context: Any, _many: bool) -> None:
    if context.execution_options.get("binary"):
        cursor.format = 1


def _prepare_sqlite(raw: Any, _record: object) -> None:
    # pysqlite's own BEGIN comes too late and never IMMEDIATE: switch it off and emit ours in the "begin" event.
    raw.isolation_level = None
    cursor = raw.cursor()
    for pragma in (
        "journal_mode=WAL",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "synchronous=FULL",
        "secure_delete=ON",
        f"cache_size=-{CACHE_KIB}",
        f"mmap_size={MAPPED_BYTES}",
        f"wal_autocheckpoint={JOURNAL_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("begin") == "IMMEDIATE":
        try:
            _take_write_lock(connection.connection.driver_connection)
        except sqlite3.OperationalError as error:  # what happens in this event is not translated as elsewhere
            raise OperationalError("BEGIN IMMEDIATE", None, error) from error
    else:
        connection.exec_driver_sql("BEGIN")


def _take_write_lock(raw: Any) -> None:
    """Looks for it every millisecond. SQLite itself would sleep for up to a tenth of a second while it is long free."""
    end_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    with _impatient(raw):
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                    raise
                time.sleep(LOOK_S)
            else:
                return


@contextmanager
def _impatient(raw: Any) -> Iterator[Any]:
    """SQLite waits for no lock inside."""
    raw.execute("PRAGMA busy_timeout=0")
    try:
        yield raw
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
