"""One thing that was found."""

from dataclasses import dataclass

from funnel.content.problem import plain
from funnel.lint.rules import RULES, Severity


@dataclass(frozen=True, order=True)
class Finding:
    """`line` counts from 1; 0 is the file as a whole. `reason` says what is wrong, without a full stop."""

    file: str
    line: int
    code: str
    reason: str

    @property
    def severity(self) -> Severity:
        return RULES[self.code].severity

    @property
    def advice(self) -> str:
        return RULES[self.code].advice

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return plain(f"{self.place}: {self.severity} {self.code}: {self.reason}")
