"""Keys change under a service that runs: by the commands that an operator types, and nobody notices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from funnel import keyfile
from funnel.core.sequence import Funnel
from tests.robot import Robot
from tests.service.conftest import Service
from tests.service.test_journey import join, subjects, take_quiz

pytestmark = pytest.mark.service


def typed(home: Path, command: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNNEL_")}
    env = {**clean, "FUNNEL_HOME": str(home)}
    run = [sys.executable, "-m", "funnel", *command.split()]
    return subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout


def test_keys_change_in_mid_course_and_mid_quiz(service: Service, funnel: Funnel) -> None:
    address, later = "robin@example.org", "rowan@example.org"
    with Robot(service.url) as reader, Robot(service.url) as visitor:
        take_quiz(reader, funnel, "fight")
        join(reader, service, address)
        service.until_mail(address, 3)
        take_quiz(visitor, funnel, "fawn")
        versions = keyfile.read(service.home / "keyring").whole
        assert "keys were wrapped anew" in typed(service.home, "keys rotate")
        for version in versions:
            typed(service.home, f"keys retire {version}")
        join(visitor, service, later)
        service.until_mail(address, 8)
        service.until_mail(later, 8)
        assert service.lessons(address) == subjects(funnel, "fight")
        assert service.lessons(later) == subjects(funnel, "fawn")
        reader.open(service.mails(address)[1].link("Stop"))
        reader.send("Stop the notes")
        assert "stopped" in reader.page.text
    assert keyfile.read(service.home / "keyring").whole == {max(versions) + 1}
