"""Markdown to HTML and to plain text, from one tree, so that the two never drift. HTML in the source stays text."""

import textwrap
from collections.abc import Iterator

import nh3
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

TEXT_WIDTH = 72
_TAGS = {
    "a", "p", "em", "strong", "h1", "h2", "h3", "h4", "ul", "ol", "li", "blockquote", "hr", "br", "code", "pre",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_parser = MarkdownIt("commonmark", {"html": False, "typographer": True}).enable(
    ["table", "replacements", "smartquotes"]
)


def to_html(markdown: str) -> str:
    """Sanitized HTML. Links carry no referrer."""
    rendered = _parser.render(markdown)
    return nh3.clean(rendered, tags=_TAGS, attributes={"a": {"href"}, "ol": {"start"}}, link_rel="noopener noreferrer")


def to_text(markdown: str) -> str:
    """Plain text, wrapped, with links spelled out."""
    return "\n\n".join(_blocks(SyntaxTreeNode(_parser.parse(markdown)), TEXT_WIDTH))


def links(markdown: str) -> list[str]:
    """Every link target, as written."""
    tree = SyntaxTreeNode(_parser.parse(markdown))
    return [str(node.attrs["href"]) for node in tree.walk() if node.type == "link"]


def has_html(markdown: str) -> bool:
    """Whether the text holds HTML, which would be shown as text."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark").parse(markdown))
    return any(node.type in ("html_block", "html_inline") for node in tree.walk())


def _blocks(node: SyntaxTreeNode, width: int) -> Iterator[str]:
    for child in node.children:
        if child.type in ("paragraph", "heading"):
            yield _wrap(_inline(child), width)
        elif child.type in ("bullet_list", "ordered_list"):
            yield "\n".join(_items(child, width))
        elif child.type == "blockquote":
            inner = "\n\n".join(_blocks(child, width - 2))
            yield "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        elif child.type == "hr":
            yield "* * *"
        elif child.type in ("fence", "code_block"):
            yield textwrap.indent(child.content.rstrip("\n"), "    ")
        elif child.type == "table":
            yield "\n".join(" · ".join(_inline(cell) for cell in row.children) for row in _rows(child))


def _items(node: SyntaxTreeNode, width: int) -> Iterator[str]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        sign = f"{number}. " if node.type == "ordered_list" else "- "
        inner = "\n".join(_blocks(item, width - len(sign)))
        yield sign + textwrap.indent(inner, " " * len(sign)).lstrip()


def _rows(node: SyntaxTreeNode) -> Iterator[SyntaxTreeNode]:
    return (child for child in node.walk() if child.type == "tr")


def _inline(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "code_inline"):
        return node.content
    if node.type == "softbreak":
        return " "
    if node.type == "hardbreak":
        return "\n"
    inner = "".join(_inline(child) for child in node.children)
    if node.type == "em":
        return f"*{inner}*"
    if node.type == "strong":
        return f"*{inner}*"
    if node.type == "link":
        target = str(node.attrs["href"])
        if inner == target:
            return inner
        return f"{inner} ({target})" if node.next_sibling else f"{inner}: {target}"
    return inner


def _wrap(text: str, width: int) -> str:
    lines = text.split("\n")
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
