"""Figures: one JSON line each on standard output, and a table for each benchmark in README.md."""

import json
import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


@dataclass(frozen=True)
class Figure:
    """One measured value with its unit; `parameters` say under which circumstances."""

    name: str
    value: float
    unit: str
    parameters: dict[str, str | int | float]

    def line(self) -> str:
        told = {"figure": self.name, "value": self.value, "unit": self.unit, **self.parameters}
        return json.dumps(told, ensure_ascii=False)

    def row(self) -> str:
        told = ", ".join(f"{name} {_written(value)}" for name, value in self.parameters.items())
        return f"| {self.name} | {told} | {_written(self.value)} | {self.unit} |"


class Report:
    """Collects what a benchmark has measured. `versions` of databases stand above the tables."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.versions = {"SQLite": sqlite3.sqlite_version}

    def add(self, name: str, value: float, unit: str, **parameters: str | int | float) -> None:
        """Prints a figure at once, so that a run that is cut short has told what it found."""
        figure = Figure(name, _rounded(value), unit, parameters)
        self.figures.append(figure)
        print(figure.line(), flush=True)

    def write(self, name: str, readme: Path = README) -> None:
        """Puts the table between the two marker lines of `name` in `readme`. Raises ValueError when it has none."""
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = readme.read_text(encoding="utf-8").partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{readme.name} has no place for the figures of {name}")
        table = ["| figure | with | value | unit |", "|---|---|---:|---|", *(figure.row() for figure in self.figures)]
        text = "\n".join([before + begin, self._circumstances(), "", *table, end + after])
        readme.write_text(text, encoding="utf-8")

    def _circumstances(self) -> str:
        versions = {"Python": platform.python_version(), **self.versions}
        told = ", ".join(f"{name} {version}" for name, version in versions.items())
        return f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores, {platform.system()}, {told}."


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """How far the repeats lie apart: (largest - smallest) / median."""
    return (max(values) - min(values)) / median(values)


def _rounded(value: float) -> float:
    """Four digits that mean something."""
    return float(f"{value:.4g}") if abs(value) < 1000 else float(round(value))


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"
