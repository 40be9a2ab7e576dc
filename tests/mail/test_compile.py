"""Compiling: who sees which passage, where fields may stand, and what the text part shows of it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from funnel.core.lesson import Field
from funnel.core.sequence import Controller, Educator, Funnel
from funnel.flow.tools import Tools
from funnel.mail.compile import Template, escape_html
from tests.mail import letters

READER = {"first_name": "Alice", "read_url": "https://n.example/r/1", "unsubscribe_url": "https://n.example/u/1"}
FRAME = {**letters.FRAME, "controller": Controller("Example", "1 Example Street", "privacy@example.org")}


def compiled(desk: Tools, body: str, traits: dict[str, str] | None = None, **more: Any) -> Template:
    statics = more.pop("statics", {})
    source = letters.source(body, **{name: more.pop(name) for name in ("subject", "preview") if name in more})
    return desk.layouts.compile(source, traits or {}, statics, FRAME, **more)


def text(template: Template, **values: str) -> str:
    return template.text.join({**READER, **values})


def html(template: Template, **values: str) -> str:
    return template.html.join({**READER, **values}, escape_html)


BODY = """Everyone reads this.

::: secondary fawn
You also please.
:::

::: pace slow
You take your time.
:::

Everyone reads this too."""


@pytest.mark.parametrize(
    ("traits", "shown"),
    [
        ({}, set()),
        ({"secondary": "fawn"}, {"You also please."}),
        ({"secondary": "flight"}, set()),
        ({"pace": "slow"}, {"You take your time."}),
        ({"secondary": "fawn", "pace": "slow"}, {"You also please.", "You take your time."}),
        ({"secondary": "slow", "pace": "fawn"}, set()),
        ({"locale": "fawn"}, set()),
    ],
)
def test_a_passage_shows_for_its_trait_alone(desk: Tools, traits: dict[str, str], shown: set[str]) -> None:
    template = compiled(desk, BODY, traits)
    for part in (text(template), html(template)):
        assert {one for one in ("You also please.", "You take your time.") if one in part} == shown
        assert part.index("Everyone reads this.") < part.index("Everyone reads this too.")


def test_segments_differ_by_the_traits_that_the_mail_reads_and_by_nothing_else(desk: Tools) -> None:
    plain, other = compiled(desk, "Hello."), compiled(desk, "Hello.", {"secondary": "fawn", "pace": "slow"})
    assert (plain.subject, text(plain), html(plain)) == (other.subject, text(other), html(other))


def test_every_shipped_segment_differs_from_the_plain_one_by_its_own_passage(
    funnel: Funnel, lessons: dict[tuple[str, str], Template]
) -> None:
    assert any(segment for _, segment in lessons)
    for (key, segment), template in lessons.items():
        found = funnel.lesson(key)
        assert found
        passages = {block.argument: block for block in found[1].source.blocks if block.kind == "secondary"}
        shown = letters.words(text(template))
        plain = letters.words(text(lessons[key, ""]))
        secondary = segment.partition("=")[2]
        extra = letters.words(_to_alice(passages[secondary].markdown)) if secondary else []
        place = next((n for n, (a, b) in enumerate(zip(shown, plain, strict=False)) if a != b), len(plain))
        assert len(shown) == len(plain) + len(extra), (key, segment)
        assert sorted(shown) == sorted([*plain, *extra]), (key, segment)
        assert shown[:place] + shown[place + len(extra) :] == plain, (key, segment)


def _to_alice(markdown: str) -> str:
    return re.sub(r"\{\{ first_name \|[^}]*\}\}", "Alice", markdown)


EDUCATOR = Educator("Dora", "a license", "one hour of talk", "€ 90", "no touch", "https://dora.example/")


@pytest.mark.parametrize("pattern", ["fight", "flight", "freeze", "fawn"])
def test_the_educator_is_named_once_at_the_end_and_only_when_complete(
    desk: Tools, funnel: Funnel, lessons: dict[tuple[str, str], Template], pattern: str
) -> None:
    plain = lessons[f"{pattern}-map", ""]
    shown = replace(funnel, educator=EDUCATOR)
    last = letters.lesson(desk, shown, f"{pattern}-map", revision_id="with an educator")
    for part in (text(last), html(last)):
        for value in vars(EDUCATOR).values():
            assert " ".join(part.split()).count(escape_html(value)) == 1, value
    with_it, without_it = (letters.Page(html(one)).seen["body"].rstrip() for one in (last, plain))
    assert with_it.startswith(without_it)
    assert "Dora" in with_it.removeprefix(without_it)
    half = replace(funnel, educator=replace(EDUCATOR, price=""))
    without = letters.lesson(desk, half, f"{pattern}-map", revision_id="with half an educator")
    assert (text(without), html(without)) == (text(plain), html(plain))
    assert "Dora" not in text(plain) + html(plain)


def test_fields_may_stand_in_words_in_links_and_in_the_subject(desk: Tools) -> None:
    body = (
        "**{{ first_name | you }}**, [go]({{ choose_url }}) or copy {{ choose_url }}.\n\n# For {{ first_name | all }}"
    )
    template = compiled(desk, body, subject="A note for {{ first_name | you }}", preview="Hi {{ first_name | there }}")
    link = "https://n.example/o/1?a=1&b=2"
    assert template.subject.join({"first_name": "Zoë & co"}) == "A note for Zoë & co"
    assert f"*Alice*, go ({link}) or copy {link}." in " ".join(text(template, choose_url=link).split())
    page = letters.Page(html(template, choose_url=link))
    assert link in page.links
    assert page.seen["preview"].startswith("Hi Alice")
    assert "For Alice" in page.seen["body"]
    assert "For all" in letters.Page(html(template, first_name="")).seen["body"]


def test_one_field_keeps_each_fallback_where_it_stands(desk: Tools) -> None:
    template = compiled(desk, "{{ first_name | one }}, {{ first_name | two }}, {{ first_name | one }}")
    assert "one, two, one" in text(template, first_name="")
    assert "Al, Al, Al" in text(template, first_name="Al")
    assert [field for field in template.fields if field.name == "first_name"] == [
        Field("first_name", "one"),
        Field("first_name", "two"),
    ]


@pytest.mark.parametrize("name", ["*Alice*", "[x](https://evil.example)", "{{ choose_url }}", "{% raw %}", "<script>"])
def test_what_a_reader_types_is_never_markdown_nor_template(desk: Tools, name: str) -> None:
    template = compiled(desk, "Hello {{ first_name | you }}.", subject="For {{ first_name | you }}")
    assert template.subject.join({"first_name": name}) == f"For {name}"
    assert f"Hello {name}." in text(template, first_name=name)
    assert f"Hello {escape_html(name)}." in html(template, first_name=name)


def test_a_name_that_looks_like_a_mark_stays_a_name(desk: Tools) -> None:
    template = compiled(desk, "Hello {{ first_name | you }}.")
    name = f"x{template.nonce}n0x [t{template.nonce}.1]"
    assert f"Hello {name}." in text(template, first_name=name)


def test_no_mark_is_left_in_any_shipped_mail(
    lessons: dict[tuple[str, str], Template], notices: dict[str, Template]
) -> None:
    for template in (*lessons.values(), *notices.values()):
        for pieces in (template.subject, template.text, template.html):
            assert template.nonce not in pieces.join({})
            assert "{{" not in pieces.join({})


def test_each_compiling_uses_marks_of_its_own(desk: Tools) -> None:
    assert compiled(desk, "Hello.").nonce != compiled(desk, "Hello.").nonce


def test_statics_are_filled_in_before_and_are_no_fields(desk: Tools) -> None:
    template = compiled(desk, "[Help]({{ support_url }})", statics={"support_url": "https://n.example/help"})
    assert "Help: https://n.example/help" in text(template)
    assert {field.name for field in template.fields} == {"unsubscribe_url", "read_url"}


def test_blocks_keep_their_look_and_the_text_sets_them_apart(desk: Tools) -> None:
    template = compiled(desk, "Before.\n\n::: practice\n**Look** up.\n:::\n\nAfter.")
    assert "Before.\n\n- - -\n\n*Look* up.\n\n- - -\n\nAfter." in text(template)
    assert ("div", "practice") in [(tag, given.get("class")) for tag, given in letters.Page(html(template)).tags]
