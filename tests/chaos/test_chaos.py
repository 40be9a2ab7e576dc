"""The short form of `make chaos`: a script of kills on each database, and the whole account at the end."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.service
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_nothing_doubled_whatever_is_killed(kind: str) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--short", "--database", kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, doubled 0" in done.stdout
