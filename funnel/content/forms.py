"""The shapes of the TOML files of a funnel. Unknown keys and wrong types are problems; places are key paths."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from funnel.content.kinds import (
    EVERY_DAY,
    Address,
    Clock,
    Https,
    HttpsOrEmpty,
    Key,
    Line,
    Quiet,
    SenderName,
    Slug,
    Text,
    Values,
    WaitMs,
    Weekday,
    Zone,
)

LESSONS_AT_MOST = 400


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ControllerForm(Form):
    name: Line
    postal_address: Line
    contact: Line


class SenderForm(Form):
    name: SenderName
    address: Address
    replies: Text


class SendingForm(Form):
    unknown: Literal["hold", "resend"] = "hold"
    link_only: bool = Field(default=False, description="Every mail holds only a link; the lesson waits on its page.")


class ScheduleForm(Form):
    quiet: Quiet = Field(default=None, description="Local hours in which no lesson is sent, unless it says otherwise.")
    daily_cap: Annotated[int, Field(ge=1, le=24)] | None = Field(
        default=None, description="How many lessons a person gets on a local day at most, whatever the funnel."
    )
    on_reentry: Literal["continue", "after-all"] = Field(
        default="continue", description="Who finished and signs up again gets what is new, or only what is after-all."
    )


class ReviewForm(Form):
    author: Line
    reviewer: str
    date: date


class EducatorForm(Form):
    name: str = ""
    credentials: str = ""
    offer: str = ""
    price: str = ""
    touch: str = ""
    url: HttpsOrEmpty = ""


class ConsentForm(Form):
    sensitive: Text
    course: Text
    course_educator: Text


class FunnelForm(Form):
    slug: Slug
    title: Line
    locale: Key
    locales: list[Key] = []
    timezone: Zone
    patterns: Annotated[list[Key], Field(min_length=2)]
    leave_to: Https
    controller: ControllerForm
    sender: SenderForm
    sending: SendingForm = SendingForm()
    schedule: ScheduleForm = ScheduleForm()
    review: ReviewForm
    educator: EducatorForm = EducatorForm()
    consent: ConsentForm


class AnswerForm(Form):
    key: Key
    text: Line
    because: Line
    weights: dict[str, Annotated[int, Field(ge=1, le=100)]] = {}
    at_ease: bool = False


class QuestionForm(Form):
    key: Key
    text: Line
    channel: Literal["thought", "body", "action", "words"]
    answers: Annotated[list[AnswerForm], Field(min_length=2)]


class OutcomeForm(Form):
    name: Line
    text: Text


class FactForm(Form):
    name: Line
    text: Text


class QuizForm(Form):
    opening: Text
    begin: Line
    facts: Annotated[list[FactForm], Field(min_length=1)]
    minimum_answers: Annotated[int, Field(ge=1)]
    at_ease: Annotated[float, Field(gt=0, le=100)]
    too_close: Annotated[float, Field(gt=0, le=100)]
    secondary_within: Annotated[float, Field(gt=0, le=100)]
    outcomes: dict[Literal["too-close", "at-ease", "too-few"], OutcomeForm]
    questions: Annotated[list[QuestionForm], Field(min_length=1, max_length=50)]


class ConditionForm(Form):
    secondary: Values | None = Field(default=None, description="The reader's secondary pattern is one of these.")
    locale: Values | None = Field(default=None, description="The reader's language is one of these.")
    pace: Values | None = Field(default=None, description="The reader's pace is one of these.")
    event: Values | None = Field(default=None, description="The reader has reached one of these events.")


class LessonForm(Form):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    key: Key = Field(description="Stable, unique in the funnel; never changes its meaning.")
    email: Line = Field(description="The mail, below emails/<funnel>/.")
    wait: WaitMs = Field(description="Since the lesson before it was accepted.")
    at: Clock | None = Field(default=None, description="Local time.")
    days: Annotated[list[Weekday], Field(min_length=1)] = Field(
        default_factory=lambda: list(EVERY_DAY), description="Only on these weekdays."
    )
    not_before: Clock | None = Field(default=None, description="Local time: nothing earlier in the day.")
    quiet: Quiet = Field(default=None, description="Its own quiet hours, in place of the funnel's.")
    only_if: ConditionForm | None = Field(default=None, description="Only for readers of whom all of this is true.")
    unless: ConditionForm | None = Field(default=None, description="Not for readers of whom any of this is true.")
    until: Key | None = Field(default=None, description="An event that it waits for; needs at-most.")
    at_most: WaitMs | None = Field(default=None, description="How long it waits for the event.")
    after_all: bool = Field(default=False, description="Also for readers who had finished before it was written.")
    same_as: Key | None = Field(
        default=None, description="A lesson of another pattern; whoever had that does not get this."
    )


class GoalForm(Form):
    event: Key = Field(description="The event that ends this sequence.")
    to: Key | None = Field(default=None, description="The pattern whose sequence comes instead.")


class PatternForm(Form):
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
    goals: list[GoalForm] = []
    lessons: Annotated[list[LessonForm], Field(min_length=1, max_length=LESSONS_AT_MOST)]


class HelpKindForm(Form):
    name: Line
    what: Line
    find: Line


class HelpEntryForm(Form):
    country: Line
    name: Line
    contact: Line
    url: Https
    source: Https
    checked: date


class SupportForm(Form):
    intro: Text
    kinds: list[HelpKindForm]
    entries: list[HelpEntryForm] = []


class MailForm(Form):
    subject: Line
    preview: Line


class PageForm(Form):
    title: Line
    description: Line
