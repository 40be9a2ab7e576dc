"""Markdown becomes safe HTML and readable text, from one tree."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.markdown import TEXT_WIDTH, has_html, links, to_html, to_text


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("Hello *you* and **you**.", "<p>Hello <em>you</em> and <strong>you</strong>.</p>"),
        ("## A hinge", "<h2>A hinge</h2>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("---", "<hr>"),
        ("a  \nb", "<p>a<br>\nb</p>"),
        ('"Wait," she said -- it\'s late...', "<p>“Wait,” she said – it’s late…</p>"),
        ("[x](https://a.example/?a=1&b=2)", '<a href="https://a.example/?a=1&amp;b=2" rel="noopener noreferrer">x</a>'),
        ("[x](/house/support)", '<a href="/house/support" rel="noopener noreferrer">x</a>'),
        ("|a|b|\n|-|-|\n|1|2|", "<td>1</td>"),
        ("a & b", "<p>a &amp; b</p>"),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert html in to_html(markdown)


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "a <b onclick=alert(1)>b</b>",
        '<img src="https://a.example/p.gif" onerror="alert(1)">',
        "![pixel](https://a.example/p.gif)",
        "<style>p { color: red }</style>",
        "<!-- hidden -->",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java&Tab;script:alert(1))",
        "<javascript:alert(1)>",
        "[x](vbscript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](file:///etc/passwd)",
        "[x]: javascript:alert(1)\n\n[x]",
        '[x](https://a.example/ "\\" onmouseover=\\"alert(1)")',
        "```<script>\nalert(1)\n```",
    ],
)
def test_nothing_runs_and_nothing_loads(markdown: str) -> None:
    assert_harmless(to_html(markdown))


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>\"'&#;:/()[]!`*_\\ \nabhrefscriptjav="), max_size=60))
def test_no_text_becomes_anything_that_runs(markdown: str) -> None:
    assert_harmless(to_html(markdown))
    to_text(markdown)
    has_html(markdown)


ALLOWED = {
    *("a", "p", "em", "strong", "h1", "h2", "h3", "h4", "ul", "ol", "li", "blockquote", "hr", "br", "code", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


def assert_harmless(html: str) -> None:
    tags = re.findall(r"<[^>]*>", html)
    names = {re.sub(r"[</>\s].*", "", tag.lstrip("</")) for tag in tags}
    assert names <= ALLOWED
    for tag in tags:
        assert set(re.findall(r'([\w-]+)="', re.sub(r'"[^"]*"', '""', tag))) <= {"href", "rel", "title"}
        assert not re.search(r'href="\s*(javascript|vbscript|data|file):', tag, re.IGNORECASE)


def test_a_link_without_a_scheme_leaves_the_site_and_is_left_as_written() -> None:
    # markdown-it allows //host links, and so do we: only people who may publish write Markdown.
    assert 'href="//a.example/"' in to_html("[x](//a.example/)")


def test_links_tell_the_next_site_nothing() -> None:
    assert to_html("[x](https://a.example/)").count('rel="noopener noreferrer"') == 1


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("One.\n\nTwo.", "One.\n\nTwo."),
        ("One\nline.", "One line."),
        ("a  \nb", "a\nb"),
        ("Hello *you* and **you**.", "Hello *you* and *you*."),
        ("## A hinge\n\nText.", "A hinge\n\nText."),
        ("- a\n- b", "- a\n- b"),
        ("1. a\n2. b", "1. a\n2. b"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n  - b", "- a\n  - b"),
        ("- a\n\n  b", "- a\n  b"),
        ("> a", "> a"),
        ("> - a", "> - a"),
        ("---", "* * *"),
        ("`a < b`", "a < b"),
        ("    code", "    code"),
        ("```\na\n  b\n```", "    a\n      b"),
        ("[the page](https://a.example/)", "the page: https://a.example/"),
        ("<https://a.example/>", "https://a.example/"),
        ("[*the* page](https://a.example/)", "*the* page: https://a.example/"),
        ("|a|b|\n|-|-|\n|1|2|", "a · b\n1 · 2"),
        ("a & b &amp; c", "a & b & c"),
        ("<b>shown</b>", "<b>shown</b>"),
        ("![a door](https://a.example/p.gif)", "a door"),
        ("", ""),
    ],
)
def test_markdown_becomes_text(markdown: str, text: str) -> None:
    assert to_text(markdown) == text


@pytest.mark.parametrize("before", ["", "> ", "- ", "1. ", "> - "])
def test_text_is_wrapped_inside_what_it_stands_in(before: str) -> None:
    lines = to_text(f"{before}{'word ' * 60}").split("\n")
    assert len(lines) > 3
    assert max(map(len, lines)) <= TEXT_WIDTH
    assert min(len(line) for line in lines[:-1]) > TEXT_WIDTH - len("word") - 3
    hanging = {"": "", "> ": "> ", "- ": "  ", "1. ": "   ", "> - ": ">   "}[before]
    assert all(line.startswith(f"{hanging}word") for line in lines[1:])


def test_a_long_link_is_never_broken() -> None:
    target = f"https://a.example/{'x' * 200}-{'y' * 50}"
    assert f"({target})" in to_text(f"Please see [the page]({target}) soon.").split()


words = st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), min_size=1, max_size=40)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=4))
def test_both_forms_say_the_same_words(paragraphs: list[list[str]]) -> None:
    markdown = "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)
    assert to_text(markdown).split() == re.sub(r"<[^>]*>", " ", to_html(markdown)).split() == markdown.split()


def test_every_link_is_listed_as_written() -> None:
    assert links("[a](https://a.example/) and\n\n- [b](/b)\n\n<https://c.example/>") == [
        "https://a.example/",
        "/b",
        "https://c.example/",
    ]


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("a < b and c > d", False),
        ("`<b>`", False),
        ("    <b>", False),
        ("<https://a.example/>", False),
        ("a <b>b</b>", True),
        ("<div>\na\n</div>", True),
        ("- <br>", True),
        ("<!-- x -->", True),
    ],
)
def test_html_is_noticed(markdown: str, found: bool) -> None:
    assert has_html(markdown) == found
