"""Taking in sign-ups. The form only writes down what was asked; whose it is, and what becomes of it, is decided here.

So the form does the same work for every address, and neither its answer nor the time it takes tells who is known.
"""

from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import Connection

from funnel.core.consent import Action, wording_hash
from funnel.flow import people
from funnel.flow.people import Request
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, Outdated, Unreadable
from funnel.store import signups
from funnel.store.db import reading, writing
from funnel.store.tables import Record

AT_ONCE = 100  # others write between two transactions
PARTS = 10


@dataclass(frozen=True)
class Asked:
    """A sign-up as it waits: see `signup.sign_up`."""

    address: str
    corrects: int | None
    doubt: str | None
    request: Request


def seal(keyring: Keyring, asked: Asked) -> bytes:
    """For the second until it is taken in: under the keyring itself, for its reader's own key is not known yet."""
    return keyring.seal_asked(orjson.dumps(asdict(asked)))


def _open(keyring: Keyring, sealed: bytes) -> Asked:
    known = orjson.loads(keyring.open_asked(sealed))
    return Asked(**{**known, "request": Request(**known["request"])})


def admit(tools: Tools, now_ms: int) -> None:
    """Takes in what was asked since the last time: subscriber, consents, and the request for a confirm mail.

    With an outdated keyring nothing is taken in: it waits for a process that has the one in use.
    """
    for _ in range(PARTS):
        with reading(tools.engine) as connection:
            if not signups.any_asked(connection):
                return
        with writing(tools.engine) as connection:
            for row in signups.asked(connection, AT_ONCE):
                try:
                    _admit(connection, tools, row, now_ms)
                except Outdated:
                    return
                except (Unreadable, LookupError):  # its key is gone from the keyring: nobody can tell what was asked
                    signups.turn_away(connection, row.id)


def _admit(connection: Connection, tools: Tools, row: Record, now_ms: int) -> None:
    asked = _open(tools.keyring, row.sealed)
    funnel = tools.funnel(connection, row.revision_id).read_in(row.locale)
    reader = people.enter(
        connection, tools.keyring, asked.address, asked.request.zone, asked.request.locale, row.created_ms
    )
    if asked.corrects is not None:
        _withdraw(connection, asked.corrects, reader.id)
    key = people.key_for(connection, tools.keyring, reader)
    signups.admit(connection, row.id, reader.id, people.seal_request(key, reader.address_hash, asked.request))
    wordings = {purpose: wording_hash(text) for purpose, text in funnel.wordings.items()}
    agreed_in = funnel.spoken("funnel")
    signups.record_consents(
        connection, reader.id, row.id, wordings, row.revision_id, agreed_in, Action.GIVEN, row.created_ms
    )
    signups.request_notice(connection, reader.id, row.id, funnel.name, "confirm", now_ms, doubt=asked.doubt)


def _withdraw(connection: Connection, signup_id: int, reader_id: int) -> None:
    """Takes back a sign-up of the same browser, unless it was for the same person."""
    earlier = signups.by_id(connection, signup_id)
    if earlier and earlier.subscriber_id != reader_id and signups.close(connection, signup_id, signups.REPLACED):
        signups.drop_notices(connection, signup_id, "corrected")
