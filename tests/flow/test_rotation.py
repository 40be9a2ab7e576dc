"""Keys change while people sign up and mail goes out: nobody notices, and nobody is lost or doubled."""

import base64
import dataclasses
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
from sqlalchemy import text

from funnel.core import links
from funnel.core.consent import Standing, Suppressed
from funnel.core.links import Use
from funnel.flow import admission, erasing, leaving, lifting, people, rotation, signup
from funnel.flow.doctor import Level
from funnel.flow.people import Request
from funnel.flow.rotation import Held, Part
from funnel.keyring import Keyring, Outdated, Unreadable, unseal
from funnel.store import keys, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record, delivery, erasure, key_version, notice, subscriber, subscriber_key, suppression
from tests.world import ALICE, BOB, CHARLIE, World

FIRST, SECOND, THIRD = bytes(range(32)), b"2" * 32, b"3" * 32
OLD, BOTH = Keyring({1: FIRST}), Keyring({1: FIRST, 2: SECOND})
RETIRED = Keyring.parse(f"{OLD.retired_entry(1)},2:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=")
DAVE, ERIN = "dave@example.org", "erin@example.org"
KILL = """
import os, signal, sys
from funnel.flow import rotation
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.store.db import open_engine
tools = Tools(open_engine(sys.argv[1]), Keyring.parse(sys.argv[2]), None, {}, "")
rotation.rotate(tools, 0, lambda part: os.kill(os.getpid(), signal.SIGKILL), limit=2)
"""


def give(world: World, keyring: Keyring) -> None:
    """Every process is started anew with this keyring."""
    world.tools = dataclasses.replace(world.tools, keyring=keyring)


def under(world: World) -> list[int]:
    return [row.version for row in world.rows(subscriber_key)]


def person(world: World, row: Record) -> str:
    with reading(world.tools.engine) as connection:
        key = people.key_for(connection, world.tools.keyring, row)
    return people.open_person(key, row.address_hash, row.sealed).address


def versions(world: World) -> list[tuple[int, str, bool, int]]:
    return [(each.number, each.held, each.in_use, each.wraps) for each in rotation.status(world.tools)]


def test_the_drill(world: World) -> None:
    """Sign up, rotate while mail goes out, retire the old version: every link, cookie and course goes on."""
    everybody = [ALICE, BOB, CHARLIE, DAVE]
    for each in everybody:
        world.join(each)
    world.work()
    world.sign_up(ERIN)
    world.work()
    old_link = world.token(world.mails(ALICE)[-1], "Stop")
    old_confirm = world.token(world.mails(ERIN)[-1], "onfirm")
    old_cookie = world.tools.keyring.seal_cookie(b"kept", "answers")
    give(world, BOTH)

    def meanwhile(_part: Part) -> None:
        world.clock.forward(hours=20)
        world.work()
        world.sign_up(f"frank{world.clock()}@example.org")

    found = rotation.rotate(world.tools, world.clock(), meanwhile, limit=2)
    assert found == (2, 5, 0)
    assert set(under(world)) == {2}
    assert versions(world) == [(1, Held.WHOLE, False, 0), (2, Held.WHOLE, True, 8)]
    assert (rotation.refusal(world.tools, 1), rotation.is_done(world.tools)) == (None, True)
    give(world, RETIRED)
    assert versions(world)[0] == (1, Held.RETIRED, False, 0)
    assert signup.confirm(world.tools, old_confirm, world.clock()).state == signup.Link.DONE
    world.days(25)
    for each in (*everybody, ERIN):
        assert world.lessons(each) == [lesson.source.subject for lesson in world.funnel().patterns["freeze"].lessons]
    assert Counter(mail.path.name for mail in world.mails()).most_common(1)[0][1] == 1
    assert {person(world, row) for row in world.rows(subscriber)} >= {*everybody, ERIN}
    assert world.tools.keyring.open_cookie(old_cookie, "answers") == b"kept"
    here = links.subject_of(world.tools.keyring.link_keys, Use.UNSUBSCRIBE, old_link)
    assert here is not None
    assert leaving.unsubscribe(world.tools, here, world.clock())
    assert world.rows(subscriber)[0].state == Standing.UNSUBSCRIBED
    assert len(world.rows(subscriber)) == 8
    world.sign_up(ALICE)
    assert len(world.rows(subscriber)) == 8


@pytest.mark.parametrize("killed", [1, 2], ids=["once", "twice"])
def test_a_rotation_that_was_killed_goes_on_where_it_stopped(world: World, killed: int) -> None:
    for each in (ALICE, BOB, CHARLIE, DAVE, ERIN):
        world.sign_up(each)
    give(world, BOTH)
    url = world.tools.engine.url.render_as_string(hide_password=False)
    ring = ",".join(f"{number}:{base64.b64encode(key).decode()}" for number, key in ((1, FIRST), (2, SECOND)))
    for count in range(killed):
        ended = subprocess.run([sys.executable, "-c", KILL, url, ring], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert Counter(under(world)) == {2: 2 * count + 2, 1: 3 - 2 * count}
    assert not rotation.is_done(world.tools)
    assert [each.level for each in rotation.finding(world.tools)] == [Level.WARN]
    assert rotation.to_rewrap(world.tools) == 5 - 2 * killed
    assert rotation.rotate(world.tools, world.clock()) == (2, 5 - 2 * killed, 0)
    assert [person(world, row) for row in world.rows(subscriber)] == [ALICE, BOB, CHARLIE, DAVE, ERIN]
    assert [row.version for row in world.rows(key_version)] == [1, 2]
    assert rotation.rotate(world.tools, world.clock()) == (2, 0, 0)


def test_whoever_has_a_new_version_does_not_use_it_before_the_rotation(world: World) -> None:
    """So that processes may be started anew one after the other: each can read what the others write."""
    world.sign_up(ALICE)
    give(world, BOTH)
    world.sign_up(BOB)
    assert under(world) == [1, 1]
    give(world, OLD)
    world.work()
    assert len(world.mails(BOB)) == 1
    world.sign_up(BOB)
    assert len(world.rows(subscriber)) == 2


def test_the_first_person_ever_is_sealed_under_the_newest_version(world: World) -> None:
    give(world, BOTH)
    world.sign_up(ALICE)
    assert under(world) == [2]
    assert [row.version for row in world.rows(key_version)] == [2]


def test_a_process_that_lacks_the_new_version_leaves_mail_and_people_alone(world: World) -> None:
    world.join(ALICE)
    world.sign_up(BOB)
    rotated = dataclasses.replace(world.tools, keyring=BOTH)
    assert rotation.rotate(rotated, world.clock()) == (2, 2, 0)
    world.work()
    assert (len(world.mails(ALICE)), world.mails(BOB)) == (1, [])
    for address in (ALICE, BOB, CHARLIE):
        world.sign_up(address)  # it waits
    assert len(world.rows(subscriber)) == 2
    assert {(row.state, row.reason) for row in [*world.rows(delivery), *world.rows(notice)]} == {(None, None)}
    give(world, BOTH)
    world.clock.forward(hours=1)
    world.work()
    assert [len(world.mails(address)) for address in (ALICE, BOB, CHARLIE)] == [3, 2, 1]


def test_confirming_at_a_process_that_lacks_the_new_version_can_be_done_again(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails(ALICE)[-1], "onfirm")
    rotation.rotate(dataclasses.replace(world.tools, keyring=BOTH), world.clock())
    with pytest.raises(Outdated):
        signup.confirm(world.tools, token, world.clock())
    give(world, BOTH)
    assert signup.look_at(world.tools, token, world.clock()).state == signup.Link.OPEN
    signup.confirm(world.tools, token, world.clock())
    assert [row.state for row in world.rows(subscriber)] == [Standing.ACTIVE]


def test_a_process_that_can_read_its_keyring_anew_notices_nothing(world: World) -> None:
    give(world, Keyring({1: FIRST}, source=lambda: BOTH))
    world.join(ALICE)
    rotation.rotate(dataclasses.replace(world.tools, keyring=BOTH), world.clock())
    world.sign_up(BOB)
    world.work()
    assert [len(world.mails(address)) for address in (ALICE, BOB)] == [2, 1]
    assert under(world) == [2, 2]


@pytest.mark.parametrize("first", [OLD, BOTH], ids=["old", "both"])
def test_an_address_is_never_known_twice_whoever_takes_it_in(world: World, first: Keyring) -> None:
    """Before the rotation both know the version in use; afterwards one of them knows that it does not."""
    second = BOTH if first is OLD else OLD
    world.sign_up(CHARLIE)
    for keyring in (first, second):
        give(world, keyring)
        world.sign_up(ALICE)
    rotation.rotate(dataclasses.replace(world.tools, keyring=BOTH), world.clock())
    for keyring in (first, second):
        give(world, keyring)
        world.sign_up(BOB)
    assert len(world.rows(subscriber)) == 3


def test_a_rotation_waits_for_who_is_just_being_taken_in(world: World) -> None:
    """Else a process that has not seen it begin and one that has could both take in the same address as new."""
    if world.tools.engine.dialect.name == "sqlite":
        pytest.skip("it has one writer at a time")
    world.sign_up(CHARLIE)
    after = dataclasses.replace(world.tools, keyring=BOTH)
    beginning = threading.Thread(target=lambda: rotation.begin(after, world.clock()))
    with writing(world.tools.engine) as connection:
        assert keys.hold(connection, 1, world.clock()) == 1
        beginning.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not connection.scalar(waits):
            assert beginning.is_alive(), "it did not wait"
        with reading(world.tools.engine) as other:
            assert keys.in_use(other) == 1
        people.enter(connection, OLD, ALICE, "Europe/Berlin", "en", world.clock())
    beginning.join()
    give(world, BOTH)
    world.sign_up(ALICE)
    assert (len(world.rows(subscriber)), under(world)) == (2, [1, 1])


@pytest.mark.parametrize("rings", [(OLD, BOTH), (BOTH, OLD)], ids=["old first", "new first"])
def test_the_first_two_people_ever_agree_on_a_version(world: World, rings: tuple[Keyring, Keyring]) -> None:
    first, second = (dataclasses.replace(world.tools, keyring=each) for each in rings)
    revision_id, asked = world.revision_id(), Request("", "freeze", None, "Europe/Berlin", "en")
    for each in (first, second):
        signup.sign_up(each, revision_id, ALICE, asked, 0)
        admission.admit(each, 0)
    assert [row.version for row in world.rows(key_version)] == [rings[0].version]
    assert len(world.rows(subscriber)) == 1


@pytest.mark.parametrize("reason", [Suppressed.COMPLAINT, Suppressed.NOT_ME, Suppressed.BOUNCED])
def test_what_an_address_was_suppressed_for_before_a_rotation_holds_after_it(world: World, reason: Suppressed) -> None:
    """Also where nothing but the fingerprint is left, and nobody can make it anew."""
    world.sign_up(BOB)
    [left] = OLD.address_hashes(ALICE)
    with writing(world.tools.engine) as connection:
        subscribers.suppress(connection, left, reason, world.clock())
    give(world, BOTH)
    rotation.rotate(world.tools, world.clock())
    give(world, RETIRED)
    world.sign_up(ALICE)
    world.work()
    assert world.mails(ALICE) == []
    assert [row.address_hash for row in world.rows(suppression)] == [left]
    assert world.rows(subscriber)[-1].address_hash == left
    assert lifting.lift(world.tools, ALICE) is not None
    world.join(ALICE)


def test_an_erased_person_who_comes_back_after_a_rotation_is_known_under_one_fingerprint(world: World) -> None:
    world.join(ALICE)
    with writing(world.tools.engine) as connection:
        subscribers.forget_key(connection, 1)
    give(world, BOTH)
    assert rotation.rotate(world.tools, world.clock()) == (2, 0, 0)
    world.sign_up(ALICE)
    [row] = world.rows(subscriber)
    assert (person(world, row), under(world)) == (ALICE, [2])


def test_wrapping_anew_brings_nobody_back_who_was_erased_or_renewed_meanwhile(world: World) -> None:
    world.sign_up(ALICE)
    world.sign_up(BOB)
    before = world.rows(subscriber_key)
    with writing(world.tools.engine) as connection:
        subscribers.forget_key(connection, 1)
        keys.rewrap(connection, keys.PEOPLE, [(2, before[1].wrapped, 2, b"by somebody else")])
        keys.rewrap(connection, keys.PEOPLE, [(row.subscriber_id, row.wrapped, 2, b"late") for row in before])
    assert [(row.subscriber_id, row.wrapped) for row in world.rows(subscriber_key)] == [(2, b"by somebody else")]


def test_an_erasure_that_others_must_follow_still_outlives_a_rotation(world: World) -> None:
    world.join(ALICE)
    assert erasing.erase(world.tools, ALICE, world.clock())
    give(world, BOTH)
    assert rotation.rotate(world.tools, world.clock()) == (2, 1, 0)
    assert rotation.refusal(world.tools, 1) is None
    [row] = world.rows(erasure)
    key = RETIRED.unwrap(row.version, row.wrapped, keys.ERASURE)
    assert ALICE.encode() in unseal(key, row.sealed, keys.ERASURE)


def test_keys_that_nobody_can_open_are_counted_and_left_as_they_are(world: World) -> None:
    world.sign_up(ALICE)
    world.sign_up(BOB)
    with writing(world.tools.engine) as connection:
        connection.execute(subscriber_key.update().where(subscriber_key.c.subscriber_id == 1).values(wrapped=b"?" * 60))
    give(world, BOTH)
    assert rotation.rotate(world.tools, world.clock()) == (2, 1, 1)
    assert under(world) == [1, 2]
    assert "1 keys are still wrapped under version 1" in (rotation.refusal(world.tools, 1) or "")


def test_a_version_that_is_needed_is_not_retired(world: World) -> None:
    world.sign_up(ALICE)
    give(world, BOTH)
    assert "still wrapped" in (rotation.refusal(world.tools, 1) or "")
    assert "in use, or the next" in (rotation.refusal(world.tools, 2) or "")
    assert "no version 3" in (rotation.refusal(world.tools, 3) or "")
    rotation.rotate(world.tools, world.clock())
    give(world, RETIRED)
    assert "retired already" in (rotation.refusal(world.tools, 1) or "")


def test_whoever_has_an_older_keyring_than_the_one_in_use_rotates_nothing(world: World) -> None:
    world.sign_up(ALICE)
    rotation.rotate(dataclasses.replace(world.tools, keyring=BOTH), world.clock())
    assert rotation.rotate(world.tools, world.clock()) is None
    assert under(world) == [2]


def test_a_master_key_that_was_retired_opens_nobody(world: World) -> None:
    """Not even together with a copy of the database from before the rotation and the keyring of today."""
    world.sign_up(ALICE)
    [stolen] = world.rows(subscriber_key)
    [row] = world.rows(subscriber)
    give(world, BOTH)
    rotation.rotate(world.tools, world.clock())
    with pytest.raises(Unreadable):
        RETIRED.unwrap(stolen.version, stolen.wrapped, row.address_hash)
    [now] = world.rows(subscriber_key)
    with pytest.raises(Outdated):
        OLD.unwrap(now.version, now.wrapped, row.address_hash)


@pytest.mark.parametrize(
    ("given", "level", "says"),
    [
        (Keyring({1: FIRST, 2: SECOND}), Level.OK, "1, 2"),
        (RETIRED, Level.OK, "1, 2"),
        (Keyring({2: SECOND}), Level.WARN, "version 1 was in use once"),
        (OLD, Level.BAD, "version 2 is not here, and 1 people need it"),
        (Keyring({3: THIRD}), Level.BAD, "version 2 is not here"),
    ],
)
def test_the_doctor_tells_which_versions_are_missed(world: World, given: Keyring, level: Level, says: str) -> None:
    world.sign_up(ALICE)
    give(world, BOTH)
    rotation.rotate(world.tools, world.clock())
    give(world, given)
    [found] = rotation.finding(world.tools)
    assert (found.level, says in found.says) == (level, True)
