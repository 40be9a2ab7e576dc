"""What can be wrong with content, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass

Files = Mapping[str, bytes]


def plain(text: str) -> str:
    """`text` as one line that a terminal only shows, whatever an author's file had in it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong in the content: the file, the place in it (a key path or a line), and what to do."""

    file: str
    place: str
    message: str

    def __str__(self) -> str:
        return plain(f"{self.file}: {self.place}: {self.message}" if self.place else f"{self.file}: {self.message}")


class ContentError(Exception):
    """The content cannot be used; `problems` holds every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
