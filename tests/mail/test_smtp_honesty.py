"""Whatever goes wrong with whichever messages, the report says what the server really took."""

from collections import Counter
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.core.delivery import ACCEPTED, Fate, Report, State
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.smtp import Smtp
from tests.conftest import NOON_MS
from tests.fakes.smtp import SmtpSink
from tests.fakes.smtp_server import HANG_UP, TAKE_AND_HANG_UP, Stage
from tests.mail import letters

WAYS = [HANG_UP, TAKE_AND_HANG_UP, "421 4.3.2 bye"]
REPLIES = ["450 4.2.1 later", "452 4.3.1 full", "550 5.1.1 no", "350 more", "hm?"]
FAULT: st.SearchStrategy[tuple[Stage, str]] = st.one_of(
    st.tuples(st.just("RCPT"), st.sampled_from([*WAYS, *REPLIES])),
    st.tuples(st.just("DATA"), st.sampled_from([*WAYS, *REPLIES, "250 yes"])),
    st.tuples(st.just("CONTENT"), st.sampled_from(WAYS)),
    st.tuples(st.just("MESSAGE"), st.sampled_from([*WAYS, *REPLIES])),
)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.none() | FAULT, min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
    st.integers(1, 4),
    st.integers(1, 9),
)
def test_the_report_is_what_the_server_really_took(
    faults: list[tuple[Stage, str] | None], pipelining: bool, eager: bool, most: int, limit: int
) -> None:
    template = letters.template(["A note"], [".\n", "hello\n"], ["<p>", "hello</p>"])
    people = tuple(letters.recipient(place, f"reader-{place}@example.org") for place in range(len(faults)))
    mail = Mailing(letters.UID, template, "House", "notes@example.org", {}, people, NOON_MS)
    with SmtpSink(pipelining=pipelining, eager=eager, limit=most) as sink, closing(to(sink, limit)) as provider:
        for one, fault in zip(people, faults, strict=True):
            if fault:
                sink.fail(one.address, *fault)
        report = provider.hand_over(mail)
        fates = [report.exceptions.get(place, report.fate) for place in range(len(people))]
        check(sink, mail, fates)
        sink.behave()
        assert provider.hand_over(mail) == Report(ACCEPTED)


def to(sink: SmtpSink, limit: int) -> Smtp:
    return Smtp(f"smtp://{sink.host}:{sink.port}", limit=limit)


def check(sink: SmtpSink, mail: Mailing, fates: list[Fate]) -> None:
    taken = Counter(address for message in sink.messages for address in message.rcpt_tos)
    assert [fate.state for fate in fates].count(State.UNKNOWN) <= 1
    for one, fate in zip(mail.recipients, fates, strict=True):
        if fate.state == State.UNKNOWN:
            assert taken[one.address] <= 1
        else:
            assert taken[one.address] == (fate.state == State.ACCEPTED)
    whole = {one.address: to_mime(mail, one) for one in mail.recipients}
    assert all(message.raw == whole[message.rcpt_tos[0]] for message in sink.messages)
    assert sink.early == 0
