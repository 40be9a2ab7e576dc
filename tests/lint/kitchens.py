"""The example funnel as a subject of the lint, whole or with something changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from funnel import content
from funnel.lint.finding import Finding
from funnel.lint.lexicon import Settings
from funnel.lint.silence import apply
from funnel.lint.subject import Rendered, Subject
from funnel.lint.texts import File
from tests.example.kitchen import KITCHEN

Rule = Callable[[Subject], Iterator[Finding]]
Change = tuple[str, str, str]  # file, old, new; an old "" makes a new file
SUPPORT_URL = "https://notes.example.org/kitchen/support"


def changed(*changes: Change, files: Mapping[str, bytes] = KITCHEN) -> dict[str, bytes]:
    found = dict(files)
    for path, old, new in changes:
        held = found.get(path, b"").decode()
        assert old in held, "the example has changed: this changes nothing"
        found[path] = held.replace(old, new, 1).encode() if old else new.encode()
    return found


def subject(
    files: Mapping[str, bytes] = KITCHEN,
    name: str = "kitchen",
    *,
    mails: Iterable[Rendered] = (),
    pages: Iterable[Rendered] = (),
    respondents: Iterable[Mapping[str, Any]] = (),
    settings: Settings | None = None,
) -> Subject:
    funnel = content.parse(name, {path: held for path, held in files.items() if not path.startswith("emails/service/")})
    return Subject(
        funnel,
        {path: File(path, held.decode(), funnel.locale) for path, held in files.items()},
        settings=settings or Settings(),
        mails=list(mails),
        pages=list(pages),
        support_url=SUPPORT_URL,
        respondents=list(respondents),
    )


def found(rule: Rule, one: Subject) -> list[Finding]:
    """What a rule finds that is not silenced; silencers that have nothing to do are left out."""
    return [each for each in apply(rule(one), one.files) if not each.code.startswith("LN")]


def codes(rule: Rule, one: Subject) -> list[str]:
    return [each.code for each in found(rule, one)]
