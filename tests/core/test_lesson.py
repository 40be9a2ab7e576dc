"""The closed grammar of a mail: blocks, fields, and every problem with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.lesson import (
    EDUCATOR_FIELDS,
    LESSON_FIELDS,
    NOTICE_FIELDS,
    Block,
    Field,
    Source,
    field_problems,
    fields,
    fill,
    mark,
    parse_blocks,
    segment,
    segment_traits,
    visible,
)

BODY = """Hello.

Two paragraphs.
::: secondary flight
For some.
:::
::: pace slower
For others.
:::
::: practice
A practice.
:::
::: educator
An offer.
:::
Goodbye."""


def test_a_body_is_cut_into_its_blocks_in_order() -> None:
    blocks, problems = parse_blocks(BODY)
    assert problems == []
    assert blocks == (
        Block("text", "", "Hello.\n\nTwo paragraphs.", 1),
        Block("secondary", "flight", "For some.", 5),
        Block("pace", "slower", "For others.", 8),
        Block("practice", "", "A practice.", 11),
        Block("educator", "", "An offer.", 14),
        Block("text", "", "Goodbye.", 16),
    )


def test_a_snippet_block_is_kept_although_it_is_empty() -> None:
    blocks, problems = parse_blocks("::: snippet safety\n:::")
    assert (blocks, problems) == ((Block("snippet", "safety", "", 2),), [])


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("::: confetti\nx\n:::", [(1, "unknown block 'confetti'")]),
        ("::: practice\nx", [(1, "'::: practice' is never closed")]),
        ("a\n\n::: practice\nx", [(3, "'::: practice' is never closed")]),
        ("a\n:::", [(2, "none is open")]),
        ("::: practice\nx\n::: checkin\ny\n:::", [(3, "blocks do not nest: close '::: practice' of line 1")]),
        ("::: secondary\nx\n:::", [(1, "needs a name")]),
        ("::: pace\nx\n:::", [(1, "needs a name")]),
        ("::: snippet\n:::", [(1, "needs a name")]),
        ("::: practice one\nx\n:::", [(1, "takes no name")]),
        ("::: snippet safety\nown words\n:::", [(2, "a snippet block is empty")]),
        (":::practice\nx", [(1, "not a block")]),
        ("::: Practice\nx", [(1, "not a block")]),
        ("::: secondary flight fawn\nx", [(1, "not a block")]),
        ("a\n:::: practice\n", [(2, "not a block")]),
        # Every problem, not only the first.
        (
            "::: confetti\nx\n:::\n:::\n::: pace\ny\n:::\n::: checkin",
            [(1, "unknown block"), (4, "none is open"), (5, "needs a name"), (8, "never closed")],
        ),
    ],
)
def test_every_problem_of_the_blocks_is_named_with_its_line(body: str, found: list[tuple[int, str]]) -> None:
    _, problems = parse_blocks(body)
    assert [problem.line for problem in problems] == [line for line, _ in found]
    for problem, (_, words) in zip(problems, found, strict=True):
        assert words in problem.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ first_name | there }} and {{ choose_url }}", []),
        ("{{first_name|there}}", []),
        ("a { b } c", []),
        ("{{ last_name | you }}", [(1, "unknown field 'last_name'; known here are choose_url, first_name")]),
        ("a\nb {{ confirm_url }}", [(2, "unknown field 'confirm_url'")]),
        ("{{ first_name }}", [(1, "'first_name' needs a fallback: {{ first_name | there }}")]),
        ("{{ first_name | }}", [(1, "needs a fallback")]),
        ("{{ First_Name | you }}", [(1, "braces that are not a field")]),
        ("{{ first_name | a | b }}", [(1, "braces that are not a field")]),
        ("{{ first_name.upper() }}", [(1, "braces that are not a field")]),
        ("{{ first_name |\nthere }}", [(1, "braces"), (2, "braces")]),
        ("a {{ b\n}}", [(1, "braces"), (2, "braces")]),
        ("{{ nope }} {{ first_name }}\n{{ 1 + 1 }}", [(1, "nope"), (1, "fallback"), (2, "braces")]),
    ],
)
def test_every_problem_of_the_fields_is_named_with_its_line(text: str, found: list[tuple[int, str]]) -> None:
    problems = field_problems(text, LESSON_FIELDS)
    assert [problem.line for problem in problems] == [line for line, _ in found]
    for problem, (_, words) in zip(problems, found, strict=True):
        assert words in problem.message


def test_lines_are_counted_from_where_the_text_starts() -> None:
    assert [problem.line for problem in field_problems("fine\n{{ nope }}", LESSON_FIELDS, line=10)] == [11]


def test_the_fields_of_lessons_notices_and_the_educator_stay_apart() -> None:
    assert "confirm_url" not in LESSON_FIELDS
    assert "choose_url" not in NOTICE_FIELDS
    assert not EDUCATOR_FIELDS & (LESSON_FIELDS | NOTICE_FIELDS)


@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ({"first_name": "Alice"}, "Hello Alice, see {{ choose_url }}"),
        ({"first_name": ""}, "Hello there, see {{ choose_url }}"),
        ({"choose_url": "https://x/"}, "Hello {{ first_name | there }}, see https://x/"),
        ({}, "Hello {{ first_name | there }}, see {{ choose_url }}"),
        ({"first_name": r"\1 {{ choose_url }}", "choose_url": "u"}, r"Hello \1 {{ choose_url }}, see u"),
    ],
)
def test_fields_are_filled_once_with_their_value_or_their_fallback(values: dict[str, str], filled: str) -> None:
    assert fill("Hello {{ first_name | there }}, see {{ choose_url }}", values) == filled


def test_fields_are_listed_once_in_order_with_their_fallbacks() -> None:
    text = "{{ choose_url }} {{ first_name | there }} {{ choose_url }} {{ first_name | you }}"
    assert fields(text) == [Field("choose_url"), Field("first_name", "there"), Field("first_name", "you")]


def test_each_field_becomes_its_own_mark() -> None:
    text = "{{ first_name | there }}, {{ first_name | you }}: {{choose_url}}"
    marks = {field: f"<{number}>" for number, field in enumerate(fields(text))}
    assert mark(text, marks) == "<0>, <1>: <2>"


BLOCKS = parse_blocks(BODY)[0]


@pytest.mark.parametrize(
    ("traits", "educator", "kinds"),
    [
        ({}, False, ["text", "practice", "text"]),
        ({}, True, ["text", "practice", "educator", "text"]),
        ({"secondary": "flight"}, False, ["text", "secondary", "practice", "text"]),
        ({"secondary": "fawn"}, False, ["text", "practice", "text"]),
        ({"secondary": "flight", "pace": "slower"}, False, ["text", "secondary", "pace", "practice", "text"]),
    ],
)
def test_a_reader_sees_the_blocks_that_are_theirs(traits: dict[str, str], educator: bool, kinds: list[str]) -> None:
    assert [block.kind for block in visible(BLOCKS, traits, educator)] == kinds


SOURCE = Source("s", "p", (*BLOCKS, Block("secondary", "fawn", "For yet others.", 20)))


@pytest.mark.parametrize(
    ("traits", "name"),
    [
        ({}, ""),
        ({"secondary": "fawn"}, "secondary=fawn"),
        ({"secondary": "freeze"}, ""),  # no block asks for it
        ({"pace": "as-written"}, ""),
        ({"secondary": "flight", "pace": "slower"}, "pace=slower,secondary=flight"),
        ({"pace": "slower", "secondary": "flight", "locale": "en"}, "pace=slower,secondary=flight"),
    ],
)
def test_a_segment_is_named_by_the_traits_that_the_mail_reads(traits: dict[str, str], name: str) -> None:
    assert segment(SOURCE, traits) == name


def test_a_mail_reads_only_the_traits_of_its_blocks() -> None:
    assert SOURCE.traits == {"secondary", "pace"}
    assert Source("s", "p", BLOCKS[:1]).traits == frozenset()


names = st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True)
traits_of = st.fixed_dictionaries({}, optional={"secondary": names, "pace": names})


@given(traits_of, st.lists(st.tuples(st.sampled_from(["secondary", "pace"]), names), max_size=6))
def test_whoever_is_in_a_segment_sees_what_its_name_says(traits: dict[str, str], asked: list[tuple[str, str]]) -> None:
    blocks = tuple(Block(kind, argument, "x", 1) for kind, argument in (*asked, *traits.items()))
    for source in (Source("", "", blocks), Source("", "", blocks[: len(asked)])):
        told = segment_traits(segment(source, traits))
        assert visible(source.blocks, told, False) == visible(source.blocks, traits, False)
        assert segment(source, told) == segment(source, traits)
        assert set(told.items()) <= set(traits.items())


@given(st.text(alphabet=st.sampled_from("ab :\n{}|-"), max_size=80))
def test_no_text_is_lost_or_breaks_the_parser(body: str) -> None:
    blocks, problems = parse_blocks(body)
    field_problems(body, LESSON_FIELDS)
    if not problems:
        kept = "".join(block.markdown for block in blocks)
        written = "".join(line for line in body.split("\n") if not line.startswith(":::"))
        assert kept.replace("\n", "").replace(" ", "") == written.replace(" ", "")
    assert all(problem.line >= 1 for problem in problems)
