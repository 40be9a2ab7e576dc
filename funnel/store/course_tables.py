"""The tables of the sequence language."""

from sqlalchemy import BigInteger, Column, String, Table

from funnel.store.schema import metadata

# What somebody pressed on a lesson's page: the event's name, once per enrollment. Deleted with the result.
reached = Table(
    "reached",
    metadata,
    Column("enrollment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event", String(80), primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# When the next lesson of an enrollment is due, for those only who are in several courses at once: the due table cannot
# be asked for a person, and a cap on mails a day must know. 0 where it is not known.
slot = Table(
    "slot",
    metadata,
    Column("subscriber_id", BigInteger, primary_key=True, autoincrement=False),
    Column("enrollment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("due_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
