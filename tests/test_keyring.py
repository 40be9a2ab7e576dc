"""Keys: what is sealed opens only in its own place, and survives a rotation."""

import base64
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from funnel.keyring import Keyring, KeyringError, Outdated, Unreadable, new_key, seal, unseal

KEY = bytes(range(32))
OLD = Keyring({1: b"a" * 32})
BOTH = Keyring({1: b"a" * 32, 2: b"b" * 32})
NEW = Keyring({2: b"b" * 32})


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_can_be_unsealed(plain: bytes, context: bytes) -> None:
    sealed = seal(KEY, plain, context)
    assert unseal(KEY, sealed, context) == plain
    assert len(plain) < 4 or plain not in sealed


def test_the_same_text_is_never_sealed_the_same_way() -> None:
    assert len({seal(KEY, b"alice@example.org", b"") for _ in range(20)}) == 20


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_nothing_opens_in_another_context(context: bytes, other: bytes) -> None:
    assume(context != other)
    with pytest.raises(Unreadable):
        unseal(KEY, seal(KEY, b"alice@example.org", context), other)


def test_nothing_opens_under_another_key() -> None:
    with pytest.raises(Unreadable):
        unseal(new_key(), seal(KEY, b"alice@example.org", b""), b"")


@settings(deadline=None)
@given(st.data())
def test_one_changed_bit_makes_it_unreadable(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, b"alice@example.org", b"row 1"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreadable):
        unseal(KEY, bytes(sealed), b"row 1")


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 27, 28, 44])
def test_a_truncated_text_is_unreadable(length: int) -> None:
    sealed = seal(KEY, b"alice@example.org", b"")
    assert len(sealed) > length
    with pytest.raises(Unreadable):
        unseal(KEY, sealed[:length], b"")


def test_a_key_is_wrapped_under_the_newest_version_and_old_ones_still_unwrap() -> None:
    key = new_key()
    before, after = OLD.wrap(key, b"alice"), BOTH.wrap(key, b"alice")
    assert (before[0], after[0]) == (1, 2)
    assert BOTH.unwrap(*before, b"alice") == BOTH.unwrap(*after, b"alice") == key


@pytest.mark.parametrize(
    ("keyring", "version", "context"),
    [
        (NEW, 1, b"alice"),  # the version is gone
        (BOTH, 2, b"alice"),  # wrapped under version 1
        (BOTH, 1, b"bob"),
        (Keyring({1: b"c" * 32}), 1, b"alice"),
    ],
)
def test_a_key_is_unwrapped_only_with_its_version_and_context(keyring: Keyring, version: int, context: bytes) -> None:
    _, wrapped = OLD.wrap(KEY, b"alice")
    with pytest.raises(Unreadable):
        keyring.unwrap(version, wrapped, context)


def test_whoever_meets_a_newer_version_than_theirs_knows_that_they_are_outdated() -> None:
    wrapped = BOTH.wrap(KEY, b"alice")
    with pytest.raises(Outdated):
        OLD.unwrap(*wrapped, b"alice")
    with pytest.raises(Outdated):
        OLD.open(*wrapped, b"alice", seal(KEY, b"x", b""), b"")
    with pytest.raises(Outdated):
        OLD.address_hashes("alice@example.org", 2)
    with pytest.raises(Outdated):
        OLD.wrap(KEY, b"alice", 2)


def test_a_keyring_that_can_be_read_anew_is_once_a_newer_version_turns_up() -> None:
    running = Keyring({1: b"a" * 32}, source=lambda: BOTH)
    assert running.version == 1
    assert running.unwrap(*BOTH.wrap(KEY, b"alice"), b"alice") == KEY
    assert running.version == 2
    assert running.address_hashes("alice@example.org", 1) == BOTH.address_hashes("alice@example.org", 1)


def test_a_keyring_that_cannot_be_read_anew_is_kept() -> None:
    def gone() -> Keyring:
        raise KeyringError("gone")

    running = Keyring({1: b"a" * 32}, source=gone)
    with pytest.raises(Outdated):
        running.unwrap(*BOTH.wrap(KEY, b"alice"), b"alice")
    assert running.unwrap(*OLD.wrap(KEY, b"alice"), b"alice") == KEY


def test_a_retired_version_finds_and_opens_links_and_cookies_but_nobody() -> None:
    text = f"{OLD.retired_entry(1)},2:{encoded(b'b' * 32)}"
    left = Keyring.parse(text)
    assert (left.whole, left.retired, left.version) == ({2}, {1}, 2)
    assert left.address_hashes("alice@example.org") == BOTH.address_hashes("alice@example.org")
    assert list(left.link_keys) == list(BOTH.link_keys)
    assert left.open_cookie(OLD.seal_cookie(b"kept", "answers"), "answers") == b"kept"
    assert left.unwrap(*BOTH.wrap(KEY, b"alice"), b"alice") == KEY
    with pytest.raises(Unreadable):
        left.unwrap(*OLD.wrap(KEY, b"alice"), b"alice")
    with pytest.raises(Unreadable):
        left.address_hashes("alice@example.org", 1)  # it cannot be the one in use
    assert Keyring.parse(f"{left.retired_entry(1)},2:{encoded(b'b' * 32)}").link_key == left.link_key == NEW.link_key
    assert encoded(b"a" * 32)[:-2] not in text


def test_a_wrapped_key_does_not_open_with_the_master_key_itself() -> None:
    _, wrapped = OLD.wrap(KEY, b"alice")
    with pytest.raises(Unreadable):
        unseal(b"a" * 32, wrapped, b"alice")


def test_a_key_for_one_purpose_opens_nothing_of_another() -> None:
    cookie = base64.urlsafe_b64decode(OLD.seal_cookie(b"kept", "alice"))
    with pytest.raises(Unreadable):
        OLD.unwrap(1, cookie, b"alice")
    for key in (b"a" * 32, OLD.link_key):
        with pytest.raises(Unreadable):
            unseal(key, cookie, b"alice")
        assert hmac.digest(key, b"alice@example.org", "sha256") not in OLD.address_hashes("alice@example.org")


@pytest.mark.parametrize(
    "written", ["Alice@Example.org", " alice@example.org", "ALICE@EXAMPLE.ORG\n", "alice@example.org"]
)
def test_an_address_is_found_however_it_is_written(written: str) -> None:
    assert OLD.address_hashes(written) == OLD.address_hashes("alice@example.org")


def test_other_addresses_and_other_keys_hash_differently() -> None:
    hashes = [
        *BOTH.address_hashes("alice@example.org"),
        *BOTH.address_hashes("bob@example.org"),
        *BOTH.address_hashes("alice@example.com"),
    ]
    assert len(set(hashes)) == 6
    assert {len(found) for found in hashes} == {32}


def test_the_hash_of_the_version_in_use_comes_first() -> None:
    new, old = BOTH.address_hashes("alice@example.org")
    assert BOTH.address_hashes("alice@example.org", 1) == [old, new]
    assert BOTH.address_hashes("alice@example.org", 2) == [new, old]


def test_after_a_rotation_an_address_is_looked_up_under_both_versions_the_new_one_first() -> None:
    assert BOTH.address_hashes("alice@example.org") == [
        *NEW.address_hashes("alice@example.org"),
        *OLD.address_hashes("alice@example.org"),
    ]


def test_links_are_made_with_the_oldest_whole_key_and_opened_with_every_one() -> None:
    """So that who has been given a new version writes nothing that others, who have not yet, cannot open."""
    assert BOTH.link_key == OLD.link_key
    assert BOTH.tag_key == OLD.tag_key
    assert OLD.open_cookie(BOTH.seal_cookie(b"kept", "answers"), "answers") == b"kept"
    assert list(BOTH.link_keys) == [NEW.link_key, OLD.link_key]


def test_a_cookie_comes_back() -> None:
    text = BOTH.seal_cookie("früh".encode(), "answers")
    assert BOTH.open_cookie(text, "answers") == "früh".encode()
    assert text.isascii()
    assert not set(text) & set(' ;,"\\')


def test_a_cookie_made_before_a_rotation_still_opens() -> None:
    assert BOTH.open_cookie(OLD.seal_cookie(b"kept", "answers"), "answers") == b"kept"


@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "x", "é", "A" * 3, "A" * 400, "not a cookie", "\x00", "'\"<script>"),
        OLD.seal_cookie(b"kept", "other"),
        NEW.seal_cookie(b"kept", "answers"),
        OLD.seal_cookie(b"kept", "answers")[:-4],
        OLD.seal_cookie(b"kept", "answers")[4:],
        OLD.seal_cookie(b"kept", "answers") + "AAAA",
    ],
    ids=range(14),
)
def test_a_foreign_forged_or_truncated_cookie_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        OLD.open_cookie(text, "answers")


@settings(deadline=None)
@given(st.text(max_size=120))
def test_no_text_is_a_cookie_by_chance(text: str) -> None:
    with pytest.raises(Unreadable):
        BOTH.open_cookie(text, "answers")


@pytest.mark.parametrize(
    "text",
    [
        f"1:{encoded(KEY)}",
        f"1:{encoded(KEY)}\n",
        f"  1:{encoded(KEY)} ,, ",
        f"2:{encoded(KEY)},1:{encoded(b'a' * 32)}",
        f"1:{encoded(b'a' * 32)}\n2:{encoded(KEY)}\n",
        f"9:{encoded(b'b' * 32)},10:{encoded(KEY)}",
    ],
)
def test_the_highest_version_is_the_one_to_change_to(text: str) -> None:
    keyring = Keyring.parse(text)
    newest = Keyring({keyring.version: KEY})
    assert newest.unwrap(*keyring.wrap(KEY, b"alice"), b"alice") == KEY
    assert keyring.version == max(
        int(entry.partition(":")[0]) for entry in text.replace("\n", ",").split(",") if ":" in entry
    )


SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least one key of 32 bytes"),
        (" , \n", "at least one key of 32 bytes"),
        (SECRET, 'written as "1:" and 32 bytes in base64'),
        (f"one:{SECRET}", 'written as "1:" and 32 bytes in base64'),
        (f"1={SECRET}", 'written as "1:" and 32 bytes in base64'),
        (f"1:{SECRET[:-1]}!", 'written as "1:" and 32 bytes in base64'),
        (f"1:{SECRET[:-2]}", 'written as "1:" and 32 bytes in base64'),
        (f"1:{SECRET[:20]}", "at least one key of 32 bytes"),
        (f"1:{SECRET[:-1]}{SECRET}", 'written as "1:" and 32 bytes in base64'),
        ("1:", "at least one key of 32 bytes"),
        (OLD.retired_entry(1), "at least one key of 32 bytes"),
        (f"1-retired:{SECRET},2:{encoded(KEY)}", "as `funnel keys retire` writes it"),
        (f"1-lost:{SECRET},2:{encoded(KEY)}", "as `funnel keys retire` writes it"),
        (f"1-retired:{SECRET},1:{encoded(KEY)}", "as `funnel keys retire` writes it"),
        (f"{OLD.retired_entry(1)},1:{encoded(KEY)}", "each stands once"),
        (f"1:{encoded(KEY)},2:{SECRET[:20]}", "at least one key of 32 bytes"),
    ],
)
def test_a_malformed_keyring_says_what_to_do_and_repeats_no_key(text: str, says: str) -> None:
    with pytest.raises(KeyringError) as refused:
        Keyring.parse(text)
    assert says in str(refused.value)
    assert SECRET[:8] not in str(refused.value)
    assert encoded(KEY)[:8] not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_keyring_does_not_show_its_keys() -> None:
    assert "aaaa" not in repr(OLD)
    assert encoded(b"a" * 32)[:8] not in repr(OLD)
