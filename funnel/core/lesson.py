"""The closed grammar of a mail: front matter, Markdown, fields and blocks. No template language for marketers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

EDUCATOR_FIELDS = frozenset(f"educator_{part}" for part in ("name", "credentials", "offer", "price", "touch", "url"))
LESSON_FIELDS = frozenset({"first_name", "choose_url", "quiz_url", "support_url"})
NOTICE_FIELDS = frozenset({"first_name", "confirm_url", "data_url", "support_url", "title"})
READY_FIELDS = frozenset({"first_name", "read_url", "support_url", "title"})
PERSONAL_FIELDS = frozenset({"first_name"})
TRAITS = ("secondary", "pace")
LINK_ONLY = ("mail", "link")  # the part of a segment's name that says so

_FIELD = re.compile(r"\{\{\s*([a-z_]+)\s*(?:\|\s*([^{}|]*?)\s*)?\}\}")
_OPEN = re.compile(r":::[ \t]+([a-z-]+)(?:[ \t]+([A-Za-z0-9-]+))?[ \t]*")
_ARGUMENT = {
    "practice": False,
    "button": False,
    "checkin": False,
    "educator": False,
    "secondary": True,
    "pace": True,
    "snippet": True,
    "event": True,
}


@dataclass(frozen=True)
class Field:
    """A place that is filled per recipient. `fallback` stands in where there is no value."""

    name: str
    fallback: str = ""


@dataclass(frozen=True)
class Block:
    """A stretch of Markdown. `kind` is "text" outside any block; `line` counts from 1 in the body."""

    kind: str
    argument: str
    markdown: str
    line: int


@dataclass(frozen=True)
class Source:
    """A parsed mail: one-line `subject` and `preview`, and the body's blocks; `locale` only of a translation."""

    subject: str
    preview: str
    blocks: tuple[Block, ...]
    locale: str = ""

    @property
    def traits(self) -> frozenset[str]:
        """The traits this mail really reads: what its segments differ by."""
        return frozenset(block.kind for block in self.blocks if block.kind in TRAITS)

    @property
    def events(self) -> tuple[str, ...]:
        """The events that its readers can reach: each has a button on the lesson's page."""
        return tuple(block.argument for block in self.blocks if block.kind == "event")


def event_link(words: str) -> str:
    """What a mail shows of an event: the way to its button, which is on the lesson's page."""
    return f"[{words}]({{{{ read_url }}}})"


def event_label(block: Block) -> str:
    """The words on the button of an event's block."""
    return block.markdown.removeprefix("[").partition("](")[0]


class Problem(ValueError):
    """What is wrong with a text, and on which line (counted from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def parse_blocks(body: str) -> tuple[tuple[Block, ...], list[Problem]]:
    """Cuts a body into its blocks; whatever does not fit the grammar is a problem, and nothing else is dropped."""
    blocks: list[Block] = []
    problems: list[Problem] = []
    kind, argument, start = "text", "", 1
    held: list[str] = []

    def close(next_line: int) -> None:
        nonlocal start, held
        start += next((place for place, line in enumerate(held) if line.strip()), 0)
        markdown = "\n".join(held).strip()
        if markdown or kind in ("snippet", "event"):
            blocks.append(Block(kind, argument, markdown, start))
        if kind == "snippet" and markdown:
            problems.append(Problem(start, "a snippet block is empty: its text stands in snippets/"))
        start, held = next_line, []

    for number, line in enumerate(body.split("\n"), 1):
        if not line.startswith(":::"):
            held.append(line)
            continue
        opened = _OPEN.fullmatch(line)
        if line.strip() == ":::":
            if kind == "text":
                problems.append(Problem(number, "':::' closes a block, but none is open"))
            close(number + 1)
            kind, argument = "text", ""
        elif not opened:
            problems.append(Problem(number, f"not a block: {line.strip()!r}; write '::: kind' or '::: kind name'"))
        else:
            if kind != "text":
                problems.append(Problem(number, f"blocks do not nest: close '::: {kind}' of line {start - 1} first"))
            close(number + 1)
            kind, argument = opened[1], opened[2] or ""
            problems.extend(_block_problems(number, kind, argument))
    if kind != "text":
        problems.append(Problem(start - 1, f"'::: {kind}' is never closed with ':::'"))
    close(0)
    return tuple(blocks), problems


def _block_problems(line: int, kind: str, argument: str) -> Iterable[Problem]:
    if kind not in _ARGUMENT:
        yield Problem(line, f"unknown block {kind!r}; known are {', '.join(sorted(_ARGUMENT))}")
    elif _ARGUMENT[kind] and not argument:
        yield Problem(line, f"'::: {kind}' needs a name behind it")
    elif argument and not _ARGUMENT[kind]:
        yield Problem(line, f"'::: {kind}' takes no name")


def field_problems(text: str, known: frozenset[str], line: int = 1) -> list[Problem]:
    """What is wrong with the fields in `text`; `line` is the number of its first line."""
    problems = []
    for number, row in enumerate(text.split("\n"), line):
        for name, fallback in _FIELD.findall(row):
            if name not in known:
                problems.append(Problem(number, f"unknown field {name!r}; known here are {', '.join(sorted(known))}"))
            elif name in PERSONAL_FIELDS and not fallback:
                problems.append(Problem(number, f"{name!r} needs a fallback: {{{{ {name} | there }}}}"))
        rest = _FIELD.sub("", row)
        if "{{" in rest or "}}" in rest:
            problems.append(Problem(number, "braces that are not a field; a field looks like {{ first_name | there }}"))
    return problems


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with the fields in `values` replaced; other fields stay as they are."""
    return _FIELD.sub(lambda found: values.get(found[1]) or (found[2] if found[1] in values else found[0]), text)


def mark(text: str, marks: Mapping[Field, str]) -> str:
    """`text` with each field replaced by its mark; the marks are found again after rendering."""
    return _FIELD.sub(lambda found: marks[Field(found[1], found[2] or "")], text)


def fields(text: str) -> list[Field]:
    """Every field in `text`, in order of first use."""
    return list(dict.fromkeys(Field(name, fallback) for name, fallback in _FIELD.findall(text)))


def visible(blocks: tuple[Block, ...], traits: Mapping[str, str], educator: bool) -> list[Block]:
    """The blocks that a reader with these traits sees."""
    return [
        block
        for block in blocks
        if (block.kind not in TRAITS or traits.get(block.kind) == block.argument)
        and (block.kind != "educator" or educator)
    ]


def segment(source: Source, traits: Mapping[str, str], *, link_only: bool = False) -> str:
    """The name of the segment that a reader with `traits` belongs to, over the traits that this mail reads.

    A value that no block asks for falls into the segment of those who have none. A translation is a segment of its own,
    and so are those who get a link in place of the lesson; the page that it opens shows what the other traits ask for.
    """
    asked = {(block.kind, block.argument) for block in source.blocks if block.kind in TRAITS}
    shown = sorted((kind, value) for kind, value in asked if traits.get(kind) == value)
    spoken = [("locale", source.locale)] if source.locale else []
    held = [LINK_ONLY] if link_only else []
    return ",".join(f"{kind}={value}" for kind, value in spoken + held + shown)


def segment_traits(name: str) -> dict[str, str]:
    """The traits that a segment's name stands for: the inverse of `segment`."""
    return {trait: value for trait, _, value in (part.partition("=") for part in name.split(",")) if value}


def is_link_only(name: str) -> bool:
    """Whether this segment's readers get a link in place of the lesson."""
    kind, value = LINK_ONLY
    return segment_traits(name).get(kind) == value
