"""Sentences that two lessons share: what should be said twice belongs in a snippet."""

import re
from collections.abc import Iterator

from funnel.lint.finding import Finding
from funnel.lint.subject import Subject

ENOUGH_WORDS = 12  # shorter ones happen
_SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]*")


def repeated(subject: Subject) -> Iterator[Finding]:
    """Each sentence where it comes again, in the order of the files."""
    first: dict[str, str] = {}
    for file in subject.files.values():
        if not file.path.startswith(subject.letters) or f"{subject.letters}snippets/" in file.path:
            continue
        body = file.passages[-1]
        for found in _SENTENCE.finditer(body.text):
            words = re.findall(r"[\w’']+", found[0].lower())
            if len(words) < ENOUGH_WORDS:
                continue
            said = " ".join(words)
            if first.setdefault(said, file.path) != file.path:
                reason = f"“{' '.join(found[0].split())[:60]}” also stands in {first[said]}"
                line = body.line_of(found.start() + len(found[0]) - len(found[0].lstrip()), found[0])
                yield Finding(file.path, line, "TX602", reason)
