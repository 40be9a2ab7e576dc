"""Compiles a mail once per segment, so that a recipient costs a join and nothing else."""

import html
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2 import Template as Layout
from markupsafe import Markup

from funnel import markdown
from funnel.core.lesson import Block, Field, Source, fields, fill, mark, visible
from funnel.language import speak

LAYOUT_FIELDS = (Field("unsubscribe_url"), Field("read_url"))


@dataclass(frozen=True)
class Pieces:
    """Text cut at its fields: strings and fields in turn."""

    parts: tuple[str | Field, ...]

    def join(self, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
        """The text for one recipient; a field without a value shows its fallback."""
        return "".join(part if isinstance(part, str) else escape(value_of(part, values)) for part in self.parts)


@dataclass(frozen=True)
class Template:
    """A mail of one segment. `nonce` is unguessable; whoever needs delimiters builds them from it."""

    subject: Pieces
    text: Pieces
    html: Pieces
    nonce: str

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Every field, in order of first use."""
        every = (*self.subject.parts, *self.text.parts, *self.html.parts)
        return tuple(dict.fromkeys(part for part in every if isinstance(part, Field)))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of every field."""
        return frozenset(field.name for field in self.fields)


def value_of(field: Field, values: Mapping[str, str]) -> str:
    return values.get(field.name) or field.fallback


class Layouts:
    """The trusted Jinja2 layouts layout.html.j2 and layout.txt.j2, from the first of `folders` that has them."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._environments: dict[str, Environment] = {}
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)

    def _layout(self, name: str, locale: str) -> Layout:
        """The layout as it is in this language."""
        if locale not in self._environments:
            environment = Environment(
                loader=FileSystemLoader(self._folders),
                autoescape=select_autoescape(["html.j2"], default_for_string=False),
                undefined=StrictUndefined,
                trim_blocks=True,
                lstrip_blocks=True,
            )
            speak(environment, locale)
            self._environments[locale] = environment
        return self._environments[locale].get_template(name)

    def compile(
        self,
        source: Source,
        traits: Mapping[str, str],
        statics: Mapping[str, str],
        frame: Mapping[str, object],
        *,
        educator: bool = False,
    ) -> Template:
        """The mail as readers with `traits` get it.

        `statics` are fields whose value is the same for everybody; `frame` is what the layouts know beside the body.
        """
        blocks = [
            Block(block.kind, block.argument, fill(block.markdown, statics), block.line)
            for block in visible(source.blocks, traits, educator)
        ]
        subject, preview = fill(source.subject, statics), fill(source.preview, statics)
        nonce = secrets.token_hex(8)
        marks = _marks(nonce, (subject, preview, *(block.markdown for block in blocks)))
        known = {
            **frame,
            "subject": mark(subject, marks),
            "preview": mark(preview, marks),
            **{field.name: marks[field] for field in LAYOUT_FIELDS},
        }
        marked = [(block.kind, mark(block.markdown, marks)) for block in blocks]
        return Template(
            subject=_cut(mark(subject, marks), marks),
            text=_cut(self._text(marked, known), marks),
            html=_cut(self._html(marked, known), marks),
            nonce=nonce,
        )

    def _html(self, blocks: Iterable[tuple[str, str]], known: Mapping[str, object]) -> str:
        body = [(kind, Markup(markdown.to_html(text))) for kind, text in blocks]  # noqa: S704 -- sanitized by to_html
        return self._inliner.inline(self._layout("layout.html.j2", str(known["locale"])).render(known, blocks=body))

    def _text(self, blocks: Iterable[tuple[str, str]], known: Mapping[str, object]) -> str:
        body = [(kind, markdown.to_text(text)) for kind, text in blocks]
        rendered = self._layout("layout.txt.j2", str(known["locale"])).render(known, blocks=body)
        return re.sub(r"\n{3,}", "\n\n", rendered).strip() + "\n"


def escape_html(value: str) -> str:
    return html.escape(value, quote=True)


def _marks(nonce: str, texts: Iterable[str]) -> dict[Field, str]:
    """A mark per field: letters and digits only, so that Markdown, HTML and URLs all leave it alone."""
    used = dict.fromkeys(field for text in texts for field in fields(text))
    return {field: f"x{nonce}n{place}x" for place, field in enumerate({**used, **dict.fromkeys(LAYOUT_FIELDS)})}


def _cut(text: str, marks: Mapping[Field, str]) -> Pieces:
    by_mark = {mark: field for field, mark in marks.items()}
    pattern = "|".join(map(re.escape, by_mark))
    return Pieces(tuple(by_mark.get(part, part) for part in re.split(f"({pattern})", text) if part))
