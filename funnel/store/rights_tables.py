"""The tables of readers' rights: who asked by address, what others must still forget, and who was forgotten."""

from sqlalchemy import BigInteger, Column, Date, Integer, LargeBinary, SmallInteger, String, Table

from funnel.store.schema import COUNTED, Id, metadata

# Somebody typed an address into the public form: its hashes under every look-up key, one after the other. Whether
# anybody has it, the worker finds out, so that no reply tells.
request = Table(
    "request",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    **COUNTED,
)

# Somebody was erased here, and the provider must follow. What it has to know is sealed under a key of its own, and gone
# with the row. `told_ms` is when it agreed; `reason` what kept it from that, never in its own words.
erasure = Table(
    "erasure",
    metadata,
    Column("id", Id, primary_key=True),
    Column("version", SmallInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("next_ms", BigInteger, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    Column("told_ms", BigInteger, nullable=True),
    Column("reason", String(40), nullable=True),
    **COUNTED,
)

# That somebody was erased on a day (UTC), and why. Nothing leads from here to anybody.
tombstone = Table(
    "tombstone",
    metadata,
    Column("id", Id, primary_key=True),
    Column("day", Date, nullable=False),
    Column("kind", String(24), nullable=False),
    **COUNTED,
)
