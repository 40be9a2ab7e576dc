"""The person who decides about a doubt that neither evidence nor policy settles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from funnel.core.delivery import Cause, Kind
from funnel.flow import sweep
from funnel.flow.tools import Tools
from funnel.store.db import reading
from funnel.store.tables import Record, delivery, notice
from tests.chaos.journal import Journal, now_ms
from tests.chaos.names import Names
from tests.chaos.past import PERSON
from tests.chaos.post import Post


@dataclass
class Person:
    """Looks into the provider's own list of what it took. `holds`: every doubt is theirs, not only a second one."""

    tools: Tools
    names: Names
    post: Post
    journal: Journal
    patience_ms: int
    holds: bool
    _torn: int = field(default=0)

    def decide(self) -> None:
        with reading(self.tools.engine) as connection:
            unknown = sweep.unknown_batches(connection)
            mine = [row for row in unknown if self._is_mine(row)]
            messages = {row.uid: _messages(connection, self.names, row) for row in mine}
        for row in mine:
            self._decide(row, messages[row.uid])

    def _is_mine(self, row: Record) -> bool:
        return bool((row.resent or self.holds) and row.started_ms < now_ms() - self.patience_ms)

    def _decide(self, row: Record, messages: Sequence[str]) -> None:
        had = {mail.message_id for mail in list(self.post.taken)}.intersection(messages)
        cause = Cause.ASSUME if self._count_as_sent(row, len(had), len(messages)) else Cause.RESEND
        about = {"uid": row.uid, "attempt": row.attempt, "started_ms": row.started_ms, "messages": messages}
        self.journal.note("decided", **about, cause=cause, by=PERSON, now_ms=now_ms())
        (sweep.assume_sent if cause == Cause.ASSUME else sweep.resend)(self.tools, row.uid, now_ms())

    def _count_as_sent(self, row: Record, had: int, of: int) -> bool:
        """Of a window that came through in part, somebody has a lesson twice or somebody never.

        Who holds does the one as often as the other; who would rather resend, resends.
        """
        if self.holds and 0 < had < of and row.kind == Kind.LESSON:
            self._torn += 1
            return self._torn % 2 == 0
        return had == of


def _messages(connection: Connection, names: Names, row: Record) -> list[str]:
    table, name = (delivery, names.of_lesson) if row.kind == Kind.LESSON else (notice, names.of_notice)
    theirs = select(table.c.id).where(table.c.batch_id == row.id, table.c.state.is_(None))
    return [name(id_) for id_ in connection.scalars(theirs)]
