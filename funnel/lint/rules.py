"""Every rule by its code: how grave it is, what it finds, and what to do about it."""

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Rule(NamedTuple):
    severity: Severity
    finds: str
    advice: str


E, W = Severity.ERROR, Severity.WARNING

RULES: dict[str, Rule] = {
    "CT001": Rule(E, "content that cannot be used", "Mend it: nothing is published before."),
    "LN001": Rule(W, "a silencer that silences nothing", "Take the comment out."),
    "LN002": Rule(W, "a silencer for a code that does not exist", "Write a code of this table."),
    "LN003": Rule(E, "a lint.toml or golden.toml that cannot be read", "Mend the file."),
    "QZ101": Rule(E, "a pattern that random answers lead to too often or too seldom", "Even out the weights."),
    "QZ102": Rule(E, "random answers are too close to call too often", "Lower too_close, or add second weights."),
    "QZ103": Rule(E, "people who lean one way are too close to call too often", "Give their answers more weight."),
    "QZ104": Rule(E, "a golden respondent who gets another result", "Mend the quiz, or what golden.toml expects."),
    "QZ105": Rule(W, "an outcome without two golden respondents", "Add respondents to golden.toml."),
    "QZ201": Rule(E, "an outcome that nobody can get", "Change the rules of the quiz, or its weights."),
    "QZ202": Rule(W, "two answers to a question that read the same", "Tell them apart, or drop one."),
    "QZ203": Rule(W, "an answer that cannot change anybody's result", "Give it weight, or drop the question."),
    "SQ301": Rule(W, "a lesson that nobody can receive", "Loosen its conditions, or delete it."),
    "SQ302": Rule(W, "a passage that nobody can see", "Delete it, or widen secondary_within."),
    "SQ303": Rule(W, "a snippet that no mail uses", "Use it, or delete the file."),
    "SQ304": Rule(W, "a file that nothing reads", "Delete it, or keep it elsewhere."),
    "SQ305": Rule(W, "a lesson that speaks to some second patterns and not to others", "Write the missing passages."),
    "TX401": Rule(W, "a day that the schedule can make false", "Say it without a day, or change the schedule."),
    "TX402": Rule(W, "a time of day that the schedule can make false", "Say it without a time of day."),
    "TX403": Rule(W, "a stretch of time that the schedule can make false", "Leave the number out: “the next note”."),
    "TX501": Rule(W, "a diagnostic word", "Say what people notice, not what they have."),
    "TX502": Rule(W, "a graphic word", "Stay with situations: mailbox providers and readers draw the line early."),
    "TX601": Rule(W, "text that is hard to read", "Shorten sentences; choose shorter words."),
    "TX602": Rule(W, "a sentence that two lessons share", "Say it anew, or make it a snippet."),
    "DS701": Rule(E, "a subject, preview, sender or service mail that tells the topic", "Use words that fit any mail."),
    "DS702": Rule(E, "an address or title that tells the topic", "Choose a neutral one."),
    "DS703": Rule(W, "a link that tells the topic", "Link to a neutral address, or lead to the support page."),
    "LK801": Rule(W, "a link whose text says nothing", "Let the text say where the link leads."),
    "LK802": Rule(E, "a link without text", "Put words between the brackets."),
    "LK803": Rule(W, "an address as text", "Make it a link with words."),
    "LK804": Rule(E, "a picture without alternative text", "Say in alt what it shows; alt=\"\" if it only decorates."),
    "ML901": Rule(W, "a mail whose HTML is large", "Shorten it: Gmail cuts mails at 102 KB, links at the end first."),
    "ML902": Rule(E, "a mail whose HTML Gmail cuts", "Shorten it: the link that stops the notes is cut off, too."),
    "ML903": Rule(E, "a mail whose text part lacks what its HTML says", "Mend layout.txt.j2."),
    "ML904": Rule(E, "a mail or page without a link to the support page", "Put the link back into the layout."),
    "CO951": Rule(E, "text whose color is too close to what lies behind it", "Raise the contrast to 4.5 to 1."),
}  # fmt: skip
