"""Words that do not belong: diagnostic ones and graphic ones."""

from collections.abc import Iterator

from funnel.lint.finding import Finding
from funnel.lint.subject import Subject


def diagnostic_and_graphic(subject: Subject) -> Iterator[Finding]:
    for passage, known in subject.spoken():
        for code, kind, pattern in (
            ("TX501", "a diagnostic word", known.diagnostic),
            ("TX502", "a graphic word", known.graphic),
        ):
            for found in known.found(pattern, passage.text):
                written = passage.text[found.start() : found.end()]
                reason = " ".join(f"“{found[0]}” is {kind}".split())
                yield Finding(passage.file, passage.line_of(found.start(), written), code, reason)
