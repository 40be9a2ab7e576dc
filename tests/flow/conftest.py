from pathlib import Path

import pytest

from funnel.flow.tools import Tools
from tests.conftest import Clock
from tests.world import World


@pytest.fixture
def world(tools: Tools, clock: Clock, tmp_path: Path) -> World:
    return World(tools, clock, tmp_path / "outbox")
