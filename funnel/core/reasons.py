"""Why a lesson comes when it comes, and why others were passed over: small records that others print or count."""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What decided. The first group made the moment, the second passed a lesson over."""

    WAIT = "wait"
    PACE = "pace"
    OWN_ACT = "own-act"
    EVENT = "event"
    NO_EVENT = "no-event"
    AT = "at"
    DAYS = "days"
    NOT_BEFORE = "not-before"
    QUIET = "quiet"
    CAP = "cap"
    ZONE = "zone"
    SHORT_DAY = "short-day"

    HAD = "had"
    SAME_AS = "same-as"
    ONLY_IF = "only-if"
    UNLESS = "unless"
    GONE_BY = "gone-by"


@dataclass(frozen=True)
class Reason:
    """`value` is what the rule says, as marketers write it; `lesson` is set where one was passed over."""

    code: Code
    value: str = ""
    lesson: str = ""

    def __str__(self) -> str:
        sentence = _SENTENCES[self.code].format(value=self.value)
        return f"{self.lesson} is passed over: {sentence}" if self.lesson else sentence


_SENTENCES = {
    Code.WAIT: "{value} after the lesson before it",
    Code.PACE: "at the pace {value}",
    Code.OWN_ACT: "it answers what the reader just did: at once",
    Code.EVENT: "the reader reached {value}",
    Code.NO_EVENT: "nobody waits longer for {value}",
    Code.AT: "at {value} on the reader's clock",
    Code.DAYS: "moved to one of {value}",
    Code.NOT_BEFORE: "not before {value}",
    Code.QUIET: "moved out of the quiet hours {value}",
    Code.CAP: "moved: at most {value} a day",
    Code.ZONE: "no known time zone: {value} counts",
    Code.SHORT_DAY: "course days are short: local hours do not count",
    Code.HAD: "the reader has had it",
    Code.SAME_AS: "the reader has had {value}, which is the same",
    Code.ONLY_IF: "only if {value}",
    Code.UNLESS: "unless {value}",
    Code.GONE_BY: "the reader is past it, and it is not for everybody",
}
