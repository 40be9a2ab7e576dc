"""A copy of the example that a test may spoil, and the tools that look at it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from funnel import settings
from funnel.preview.server import create_app
from funnel.preview.studio import Studio
from funnel.settings import Settings
from tests.example.kitchen import EXAMPLE

ADDRESS = "http://127.0.0.1:8100"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for room in ("sequences", "emails"):
        shutil.copytree(EXAMPLE / room, tmp_path / "content" / room)
    return tmp_path / "content"


@pytest.fixture
def known(tmp_path: Path) -> Settings:
    return settings.load({"FUNNEL_HOME": str(tmp_path / "var")})


@pytest.fixture
def studio(known: Settings, folder: Path) -> Studio:
    (folder.parent / "var").mkdir()
    return Studio(known, folder, ADDRESS)


@pytest.fixture
def author(studio: Studio) -> Iterator[TestClient]:
    """The author's browser, on the same machine."""
    with TestClient(create_app(studio), base_url=ADDRESS, client=("127.0.0.1", 40000)) as client:
        yield client


def rewrite(folder: Path, path: str, old: str, new: str) -> None:
    """Saves a file of the copy with something changed."""
    text = (folder / path).read_text(encoding="utf-8")
    assert old in text, "the example has changed: this changes nothing"
    (folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")
