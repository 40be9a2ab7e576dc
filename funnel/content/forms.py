"""The shapes of the TOML files of a funnel. Unknown keys and wrong types are problems; places are key paths."""

from datetime import date, time
from typing import Annotated, Any, Literal, get_args

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from funnel.core.schedule import DAY_MS, HOUR_MS, is_zone

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
LONGEST_WAIT_DAYS = 366
RESERVED = frozenset({"healthz", "hooks", "language", "leave", "metrics", "outbox", "readyz", "static"})


def _one_line(value: str) -> str:
    if not value.strip() or any(ord(char) < 32 for char in value):
        raise ValueError("must be one line of text, not empty")
    return value.strip()


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def _key(value: str) -> str:
    if not value.isascii() or not value.replace("-", "").isalnum() or value != value.lower():
        raise ValueError("must be lower-case letters, digits and hyphens")
    return value


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError("is not a time zone; write one like Europe/Berlin")
    return value


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("must start with https://")
    return value


def _https_or_empty(value: str) -> str:
    return _https(value) if value else value


def _address(value: str) -> str:
    try:
        found = validate_email(value, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("must be an email address like notes@example.org") from None
    return found.ascii_email or value


def _slug(value: str) -> str:
    if len(value) < 3 or value in RESERVED:
        raise ValueError(f"must have three letters or more and be none of {', '.join(sorted(RESERVED))}")
    return value


def _wait_ms(value: Any) -> int:
    number, _, unit = str(value).partition(" ")
    units = {"hour": HOUR_MS, "hours": HOUR_MS, "day": DAY_MS, "days": DAY_MS}
    if not number.isdecimal() or unit not in units:
        raise ValueError('must be like "2 days" or "6 hours"')
    if int(number) * units[unit] > LONGEST_WAIT_DAYS * DAY_MS:
        raise ValueError(f"must be at most {LONGEST_WAIT_DAYS} days")
    return int(number) * units[unit]


def _clock(value: Any) -> time:
    try:
        clock = time.fromisoformat(str(value))
    except ValueError:
        clock = None
    if clock is None or clock.tzinfo:
        raise ValueError('must be a local time like "08:30"')
    return clock


Line = Annotated[str, AfterValidator(_one_line)]
Text = Annotated[str, AfterValidator(_text)]
Key = Annotated[str, AfterValidator(_key)]
Zone = Annotated[str, AfterValidator(_zone)]
Https = Annotated[str, AfterValidator(_https)]
HttpsOrEmpty = Annotated[str, AfterValidator(_https_or_empty)]
Address = Annotated[str, AfterValidator(_address)]
Slug = Annotated[str, AfterValidator(_key), AfterValidator(_slug)]
WaitMs = Annotated[int, BeforeValidator(_wait_ms)]
Clock = Annotated[time, BeforeValidator(_clock)]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ControllerForm(Form):
    name: Line
    postal_address: Line
    contact: Line


class SenderForm(Form):
    name: Line
    address: Address
    replies: Text


class SendingForm(Form):
    unknown: Literal["hold", "resend"] = "hold"


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


class LessonForm(Form):
    key: Key
    email: Line
    wait: WaitMs
    at: Clock | None = None
    days: Annotated[list[Weekday], Field(min_length=1)] = Field(default_factory=lambda: list(WEEKDAYS))


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
    lessons: Annotated[list[LessonForm], Field(min_length=1, max_length=400)]


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
