"""Whether text can be told from what lies behind it, by the ratio of WCAG 2, in light and in dark."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from funnel.lint import css
from funnel.lint.finding import Finding
from funnel.lint.subject import Rendered, Subject
from funnel.lint.texts import File

LEAST = 4.5
SCHEMES = ("light", "dark")
CANVAS = {"light": ("#000000", "#ffffff"), "dark": ("#ffffff", "#121212")}  # what browsers take where nothing is said
_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:transparent|white|black)\b|var\(--[\w-]+\)")
_NAMED = {"white": "#ffffff", "black": "#000000"}


def contrasts(subject: Subject) -> Iterator[Finding]:
    """Every pair of colors that is too close, once, at the line of the layout or style sheet that has the text's."""
    for rendered, file in (
        (subject.mails, subject.sheets.get("mail")),
        (subject.pages, subject.sheets.get("page")),
    ):
        if file:
            sheet = "" if file.path.endswith(".j2") else file.text
            yield from _findings(rendered, file, sheet)


def _findings(rendered: Sequence[Rendered], file: File, sheet: str) -> Iterator[Finding]:
    for scheme in SCHEMES:
        told: set[tuple[str, str]] = set()
        seen: set[tuple[str, ...]] = set()
        for one in rendered:
            for pair in pairs(one.html, sheet, scheme, seen):
                if ratio(pair.text, pair.behind) < LEAST and (pair.text, pair.behind) not in told:
                    told.add((pair.text, pair.behind))
                    yield Finding(file.path, _line(file, pair.text), "CO951", _reason(pair, scheme))


@dataclass(frozen=True)
class Pair:
    """The color of a text and of what lies behind it, as #rrggbb, and the element."""

    text: str
    behind: str
    element: str


def pairs(html: str, sheet: str, scheme: str, seen: set[tuple[str, ...]] | None = None) -> Iterator[Pair]:
    """The colors of every element that says something. Kinds of elements in `seen` are left out, and new ones added."""
    known = css.rules(css.sheets_in(html) + sheet, scheme)
    looks = _Looks(known, scheme)
    done = set() if seen is None else seen
    for element in css.elements(html):
        if element.says and element.signature not in done:
            done.add(element.signature)
            if look := looks.of(element):
                name = f"{element.tag}{''.join('.' + each for each in element.classes)}"
                yield Pair(*look, name)


def ratio(one: str, other: str) -> float:
    """WCAG's contrast of two colors, 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@dataclass
class _Looks:
    """(color, background) of elements; None for what is not shown."""

    rules: tuple[css.Rule, ...]
    scheme: str
    _known: dict[tuple[str, ...], tuple[str, str] | None] = field(default_factory=dict)

    def of(self, element: css.Element) -> tuple[str, str] | None:
        key = element.signature
        if key not in self._known:
            self._known[key] = self._look(element)
        return self._known[key]

    def _look(self, element: css.Element) -> tuple[str, str] | None:
        around = self.of(element.parent) if element.parent else CANVAS[self.scheme]
        own = css.styled(element, self.rules)
        if around is None or own.get("display") == "none":
            return None
        text, behind = around
        text = self._color(own.get("color", "")) or text
        for name in ("background", "background-color"):
            behind = self._color(own.get(name, "")) or behind
        return text, behind

    def _color(self, value: str) -> str | None:
        """The color in a declaration; None where there is none, or it is transparent."""
        found = _COLOR.search(value)
        if not found or found[0] == "transparent":
            return None
        if found[0].startswith("var("):
            return self._color(self._variables.get(found[0][4:-1], ""))
        return _hex(_NAMED.get(found[0], found[0]))

    @property
    def _variables(self) -> Mapping[str, str]:
        declared = [rule.declared for rule in self.rules if rule.steps == ((" ", "html"),)]
        return {name: value for each in declared for name, (value, _) in each.items() if name.startswith("--")}


def _hex(color: str) -> str:
    digits = color.lstrip("#").lower()
    return "#" + ("".join(each * 2 for each in digits[:3]) if len(digits) in (3, 4) else digits[:6])


def _luminance(color: str) -> float:
    parts = (int(_hex(color)[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _reason(pair: Pair, scheme: str) -> str:
    return f"{pair.text} on {pair.behind} is {ratio(pair.text, pair.behind):.1f} to 1 ({scheme}, {pair.element})"


def _line(file: File, color: str) -> int:
    short = f"#{color[1]}{color[3]}{color[5]}" if color[1::2] == color[2::2] else color
    rows = file.text.lower().split("\n")
    return next((number for number, row in enumerate(rows, 1) if color in row or f"{short};" in row), 0)
