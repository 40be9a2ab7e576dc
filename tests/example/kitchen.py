"""The example's files by name, and ways to spoil them."""

from collections.abc import Mapping

import pytest

from funnel import content
from funnel.content import ContentError, Problem
from tests.conftest import ROOT

EXAMPLE = ROOT / "tests/example"
KITCHEN = content.read_folder(EXAMPLE, "kitchen")
FUNNEL = "sequences/kitchen/funnel.toml"
QUIZ = "sequences/kitchen/quiz.toml"
PLANNER = "sequences/kitchen/planner.toml"
IMPROVISER = "sequences/kitchen/improviser.toml"
SUPPORT = "sequences/kitchen/support.toml"
LANDING = "sequences/kitchen/landing.md"
MEET = "emails/kitchen/planner/01-meet.md"
STOVE = "emails/kitchen/planner/02-stove.md"
SAFETY = "emails/kitchen/snippets/safety.md"


def broken(path: str, old: str, new: str) -> dict[str, bytes]:
    """The example with the first `old` in one file replaced."""
    text = KITCHEN[path].decode()
    assert old in text, "the example has changed: this test breaks nothing"
    return {**KITCHEN, path: text.replace(old, new, 1).encode()}


def without(path: str) -> dict[str, bytes]:
    return {name: held for name, held in KITCHEN.items() if name != path}


def problems(files: Mapping[str, bytes]) -> list[Problem]:
    """What is wrong with a spoiled example."""
    with pytest.raises(ContentError) as refused:
        content.parse("kitchen", files)
    return refused.value.problems
