"""The shapes of translations: what a funnel's files say, without what they decide."""

from typing import Annotated, Literal

from pydantic import Field

from funnel.content.forms import ConsentForm, FactForm, Form, HelpEntryForm, HelpKindForm, OutcomeForm
from funnel.content.kinds import Https, Key, Line, SenderName, Text


class SpokenSenderForm(Form):
    name: SenderName
    replies: Text


class SpokenEducatorForm(Form):
    credentials: str = ""
    offer: str = ""
    price: str = ""
    touch: str = ""


class SpokenFunnelForm(Form):
    title: Line
    leave_to: Https | None = None
    sender: SpokenSenderForm
    educator: SpokenEducatorForm = SpokenEducatorForm()
    consent: ConsentForm


class SpokenAnswerForm(Form):
    key: Key
    text: Line
    because: Line


class SpokenQuestionForm(Form):
    key: Key
    text: Line
    answers: list[SpokenAnswerForm]


class SpokenQuizForm(Form):
    opening: Text
    begin: Line
    facts: Annotated[list[FactForm], Field(min_length=1)]
    outcomes: dict[Literal["too-close", "at-ease", "too-few"], OutcomeForm]
    questions: list[SpokenQuestionForm]


class SpokenPatternForm(Form):
    name: Line
    protects_by: Line
    promise: Line
    summary: Text
    purpose: Text
    before: Text
    during: Text
    after: Text
    costs: Text
    needs: Text
    practice: Text


class SpokenSupportForm(Form):
    intro: Text
    kinds: list[HelpKindForm]
    entries: Annotated[list[HelpEntryForm], Field(default_factory=list)]
