"""As much of CSS as the colors of our own pages and mails need: rules, custom properties, the cascade."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from typing import NamedTuple

_VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "source", "wbr", "col", "base", "area"})
_PART = re.compile(r"([#.]?)([A-Za-z][\w-]*)|\[([a-z-]+)(?:=\"?([^\"\]]*)\"?)?\]")


class Rule(NamedTuple):
    """One selector with what it declares. `steps` are (combinator, compound), the rightmost last."""

    steps: tuple[tuple[str, str], ...]
    declared: Mapping[str, tuple[str, bool]]
    weight: tuple[int, int, int]
    order: int


@dataclass(eq=False)
class Element:
    tag: str
    attributes: Mapping[str, str]
    parent: "Element | None"
    says: bool = False

    @property
    def signature(self) -> tuple[str, ...]:
        own = f"{self.tag}.{self.attributes.get('class', '')}#{self.attributes.get('style', '')}"
        return (*(self.parent.signature if self.parent else ()), own)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


def elements(html: str) -> list[Element]:
    """Every element, ancestors first; `says` where it holds text of its own."""
    tree = _Tree()
    tree.feed(html)
    return tree.found


def sheets_in(html: str) -> str:
    return "\n".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))


@lru_cache(64)
def rules(css: str, scheme: str) -> tuple[Rule, ...]:
    """The rules that hold on a screen in a color scheme ("light" or "dark"), whatever its width."""
    found: list[Rule] = []
    for selectors, body in _blocks(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL), scheme):
        declared = declarations(body)
        for selector in selectors.split(","):
            plain = " ".join(selector.split()).replace(":root", "html")
            if plain and ":" not in plain and "*" not in plain:
                found.append(Rule(_steps(plain), declared, _weight(plain), len(found)))
    return tuple(found)


def declarations(body: str) -> dict[str, tuple[str, bool]]:
    """property → (value, whether it is important)."""
    found = {}
    for line in body.split(";"):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = (value.replace("!important", "").strip(), "!important" in value)
    return found


def styled(element: Element, known: tuple[Rule, ...]) -> dict[str, str]:
    """What holds for an element, without what it inherits."""
    won: dict[str, tuple[tuple[bool, bool, tuple[int, int, int], int], str]] = {}
    own = declarations(element.attributes.get("style", ""))
    claims = [(rule.declared, (False, rule.weight, rule.order)) for rule in known if matches(element, rule.steps)]
    for declared, (inline, weight, order) in [*claims, (own, (True, (0, 0, 0), 0))]:
        for name, (value, important) in declared.items():
            rank = (important, inline, weight, order)
            if name not in won or rank >= won[name][0]:
                won[name] = (rank, value)
    return {name: value for name, (_, value) in won.items()}


def matches(element: Element, steps: tuple[tuple[str, str], ...]) -> bool:
    combinator, compound = steps[-1]
    if not _is(element, compound):
        return False
    if len(steps) == 1:
        return True
    above = element.parent
    while above:
        if matches(above, steps[:-1]):
            return True
        above = None if combinator == ">" else above.parent
    return False


def _is(element: Element, compound: str) -> bool:
    return all(_has(element, *part) for part in _PART.findall(compound))


def _has(element: Element, sign: str, name: str, attribute: str, value: str) -> bool:
    if attribute:
        held = element.attributes.get(attribute)
        return held is not None and value in ("", held)
    if sign:
        return name in element.classes if sign == "." else element.attributes.get("id") == name
    return element.tag == name


def _steps(selector: str) -> tuple[tuple[str, str], ...]:
    steps, combinator = [], " "
    for part in selector.replace(">", " > ").split():
        if part in (">", "+", "~"):
            combinator = part
        else:
            steps.append((combinator, part))
            combinator = " "
    return tuple(steps)


def _weight(selector: str) -> tuple[int, int, int]:
    parts = _PART.findall(selector)
    ids = sum(sign == "#" for sign, *_ in parts)
    classes = sum(sign == "." or bool(attribute) for sign, _, attribute, _ in parts)
    return ids, classes, len(parts) - ids - classes


def _blocks(css: str, scheme: str) -> Iterator[tuple[str, str]]:
    """(selectors, declarations) in order; of the @-rules only the one for this color scheme."""
    place = 0
    while (opened := css.find("{", place)) >= 0:
        head, depth, end = css[place:opened].strip(), 1, opened + 1
        while depth and end < len(css):
            depth += (css[end] == "{") - (css[end] == "}")
            end += 1
        body = css[opened + 1 : end - 1]
        if not head.startswith("@"):
            yield head, body
        elif head.startswith("@media") and f"prefers-color-scheme: {scheme}" in head:
            yield from _blocks(body, scheme)
        place = end


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open[-1] if self._open else None)
        self.found.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that holds nothing, such as a shape in a picture: it says nothing."""

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and data.strip() and self._open[-1].tag not in ("style", "script", "title"):
            self._open[-1].says = True
