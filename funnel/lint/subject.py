"""One funnel under examination: its files, what they mean, and its mails and pages as people get them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from funnel.core.sequence import Funnel
from funnel.lint.lexicon import Lexicon, Settings, lexicon
from funnel.lint.texts import File, Passage


@dataclass(frozen=True)
class Rendered:
    """A mail or page. `file` is the one that its words come from; `text` is a mail's other part, None for a page."""

    name: str
    file: str
    html: str
    text: str | None = None


@dataclass(frozen=True)
class Subject:
    """`support_url` is what every mail leads to; `strays` are files in the funnel's folders that nothing reads.

    `respondents` are those of golden.json, as they stand there. `sheets` are where the colors of a "mail" and a "page"
    come from.
    """

    funnel: Funnel
    files: Mapping[str, File]
    settings: Settings = field(default_factory=Settings)
    mails: Sequence[Rendered] = ()
    pages: Sequence[Rendered] = ()
    support_url: str = ""
    strays: Sequence[str] = ()
    respondents: Sequence[Mapping[str, Any]] = ()
    sheets: Mapping[str, File] = field(default_factory=dict)

    @property
    def here(self) -> str:
        return f"sequences/{self.funnel.name}/"

    @property
    def letters(self) -> str:
        return f"emails/{self.funnel.name}/"

    def line(self, file: str, place: str) -> int:
        return self.files[file].scan.at(place) if file in self.files else 0

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        return tuple(passage for file in self.files.values() for passage in file.passages)

    def spoken(self) -> Iterator[tuple[Passage, Lexicon]]:
        """The passages in languages that we know the words of."""
        for passage in self.passages:
            if known := lexicon(self.settings, passage.locale):
                yield passage, known
