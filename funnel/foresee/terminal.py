"""What these commands print with."""

from collections.abc import Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR = 40
LEFT = ("", "hour", "from")


def say(text: str, style: str = "") -> None:
    Console().print(Text(text, style, overflow="fold"))


def columns(*names: str) -> Table:
    """A table of figures: names to the left, figures to the right."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in LEFT else "right")
    return table


def bar(count: int, among: Mapping[int, int]) -> Text:
    most = max(among.values(), default=0)
    return Text("█" * -(-count * BAR // most) if most else "", "cyan")


def at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def iso(at_ms: int) -> str:
    """An instant for machines, to the second."""
    return f"{at(at_ms):%Y-%m-%dT%H:%M:%SZ}"
