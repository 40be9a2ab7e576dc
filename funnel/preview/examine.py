"""Everything that can be said about a folder of content: what is wrong with it, and the figures beside that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from funnel import content
from funnel.flow.tools import Tools
from funnel.lint import reach
from funnel.lint.balance import Balance, balance_of
from funnel.lint.finding import Finding
from funnel.lint.lint import lint
from funnel.lint.rules import Severity
from funnel.lint.subject import Subject
from funnel.lint.texts import File
from funnel.preview import rendering
from funnel.preview.draft import Draft, read
from funnel.preview.translated import coverage
from funnel.runtime import Runtime, service_mails, spoken_service_mails
from funnel.settings import Settings
from funnel.web.pages import renderer
from funnel.web.visit import Site


@dataclass(frozen=True)
class Checked:
    """`balances` and `matrices` are by funnel, for those that could be read."""

    names: list[str]
    findings: list[Finding]
    subjects: Mapping[str, Subject] = field(default_factory=dict)
    translated: Sequence[str] = ()

    @property
    def errors(self) -> int:
        return sum(finding.severity == Severity.ERROR for finding in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors

    def balances(self) -> dict[str, Balance]:
        return {name: balance_of(one.funnel.quiz, one.respondents) for name, one in self.subjects.items()}

    def matrices(self) -> dict[str, list[reach.Row]]:
        return {name: reach.matrix(one) for name, one in self.subjects.items()}

    def as_json(self) -> dict[str, Any]:
        return {
            "funnels": self.names,
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [
                {**asdict(one), "severity": one.severity, "advice": one.advice} for one in self.findings
            ],
            "translated": self.translated,
            "balance": {name: found.as_json() for name, found in self.balances().items()},
            "matrix": {name: [asdict(row) for row in rows] for name, rows in self.matrices().items()},
        }  # fmt: skip


def check(tools: Tools, site: Site, root: Path) -> Checked:
    """Reads and examines every funnel below `root`; one that cannot be read does not keep the others from it."""
    drafts, problems = read(tools, root)
    problems += service_problems(root)
    if problems:
        return Checked(content.names(root), as_findings(problems, root))
    subjects, findings = {}, []
    for name, draft in drafts.items():
        found, subject = examine(draft, site)
        findings += found
        if subject:
            subjects[name] = subject
    return Checked(content.names(root), sorted(set(findings)), subjects, list(coverage(root)))


def examine(draft: Draft, site: Site) -> tuple[list[Finding], Subject | None]:
    """What is wrong with one funnel, and what was looked at for that."""
    try:
        subject = rendering.subject(draft, site)
    except rendering.Unreadable as error:
        return [Finding(error.file, 0, "LN003", str(error))], None
    return lint(subject), subject


def site(settings: Settings, tools: Tools) -> Site:
    """What the pages are rendered with."""
    return Site(settings, tools, renderer(), Runtime.now_ms, lambda: None)


def service_problems(root: Path) -> list[content.Problem]:
    try:
        service_mails(root)
        spoken_service_mails(root)
    except content.ContentError as error:
        return error.problems
    return []


def as_findings(problems: Iterable[content.Problem], root: Path) -> list[Finding]:
    """Problems of the content, at the lines of their files."""
    return sorted({Finding(one.file, _line(one, root), "CT001", _reason(one)) for one in problems})


def _reason(problem: content.Problem) -> str:
    return f"{problem.place}: {problem.message}" if _is_path(problem.place) else problem.message


def _is_path(place: str) -> bool:
    return bool(place) and not place.startswith(("line ", "byte "))


def _line(problem: content.Problem, root: Path) -> int:
    if problem.place.startswith("line "):
        return int(problem.place.removeprefix("line "))
    try:
        text = (root / problem.file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return 0
    if not _is_path(problem.place):
        return 0
    return File(problem.file, text, "").scan.at(problem.place)
