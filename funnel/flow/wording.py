"""How a course's story names what it tells of: nothing of the reader's pattern, unless that is asked for."""

from dataclasses import dataclass

from sqlalchemy import Connection

from funnel.core.reasons import Code, Reason
from funnel.core.sequence import Funnel
from funnel.flow.doctor import moment
from funnel.flow.tools import Tools

SHORT = 12  # characters of a revision's id
# What these would say is the reader's: their second pattern, their language, what they did.
_PRIVATE = {
    Code.ONLY_IF: "its conditions do not hold",
    Code.UNLESS: "its conditions forbid it",
    Code.SAME_AS: "the reader has had another that is the same",
    Code.EVENT: "what it waits for was reached",
    Code.NO_EVENT: "it waits no longer for what it awaits",
}


@dataclass(frozen=True)
class Words:
    """`open_` shows lesson keys, segments and conditions, which tell a pattern; else a lesson is its place."""

    funnel: Funnel | None
    open_: bool = False

    def lesson(self, key: str | None) -> str:
        if key is None:
            return "a lesson that was withdrawn"
        if self.open_:
            return key
        found = self.funnel.lesson(key) if self.funnel else None
        if found is None:
            return "a lesson that the current revision has no more"
        return f"lesson {found[0].lessons.index(found[1]) + 1}"  # not of how many: that differs by pattern

    def reason(self, reason: Reason) -> str:
        if self.open_ or reason.code not in _PRIVATE:
            return str(Reason(reason.code, reason.value, self.lesson(reason.lesson) if reason.lesson else ""))
        says = _PRIVATE[reason.code]
        return f"{self.lesson(reason.lesson)} is passed over: {says}" if reason.lesson else says

    def event(self, name: str) -> str:
        """What a reader pressed: an answer of theirs."""
        return name if self.open_ else "an event"

    def segment(self, name: str) -> str:
        """The readers that a batch is for."""
        if not name:
            return "all its readers"
        traits = sorted({part.partition("=")[0] for part in name.split(",")})
        return f"readers with {name}" if self.open_ else f"readers alike in {', '.join(traits)}"


def words(connection: Connection, tools: Tools, funnel: str, *, open_: bool) -> Words:
    current = tools.current(connection).get(funnel)
    return Words(current[1] if current else None, open_)


def revision(id_: str | None) -> str:
    return f"revision {id_[:SHORT]}" if id_ else "no revision on record"


def clock(at_ms: int) -> str:
    """An instant to the second: what happens in one tick should keep its order."""
    return f"{moment(at_ms).removesuffix(' UTC')}:{at_ms // 1000 % 60:02} UTC"
