"""Starting and stopping: one group of processes, no orphans, one clear sentence when something is in the way."""

import base64
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.databases import Databases
from tests.service.conftest import PATIENCE_S, free_port, launch, running, until

pytestmark = pytest.mark.service


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything(how: int, tmp_path: Path) -> None:
    with running(tmp_path) as service:
        assert len(service.family()) == 5  # the parent, web, worker, Valkey and its leash
        assert service.stop(how) == 0
        assert service.family() == {}
        assert "Traceback" not in service.log.read_text()


def test_ctrl_c_to_the_whole_group_stops_everything_quietly(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        groups = {os.getpgid(pid) for pid in service.family()}
        assert groups == {service.process.pid}
        os.killpg(service.process.pid, signal.SIGINT)
        assert service.process.wait(PATIENCE_S) == 0
        assert service.family() == {}
        assert "Traceback" not in service.log.read_text()


def test_killing_the_parent_leaves_no_orphans_and_the_next_start_works(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.process.kill()
        service.process.wait()
        until(lambda: service.family() == {}, "the children to leave")
    with running(tmp_path) as again:
        assert again.ready()


def test_the_next_start_ends_a_valkey_that_was_left_behind(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        leash = next(pid for pid, command in service.family().items() if "funnel.leash" in command)
        os.kill(leash, signal.SIGSTOP)  # so that it cannot notice
        for pid in (service.process.pid, leash):
            os.kill(pid, signal.SIGKILL)
        service.process.wait()
        until(lambda: all("valkey" in command for command in service.family().values()), "the others to leave")
        left = set(service.family())
        assert left
        with running(tmp_path) as again:
            assert again.ready()
            assert not left & set(again.family())


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = launch(tmp_path, port)
        assert service.process.wait(PATIENCE_S) == 1
    said = service.log.read_text()
    assert f"Port {port} is taken" in said
    assert "Traceback" not in said
    assert service.family() == {}


def test_a_second_service_on_one_folder_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        second = launch(tmp_path, free_port())
        assert second.process.wait(PATIENCE_S) == 1
        assert "already running" in service.log.read_text()
        assert service.ready()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"FUNNEL_DAY": "soon"}, "FUNNEL_DAY"),
        ({"FUNNEL_MAIL": "pigeon"}, "FUNNEL_MAIL"),
        ({"FUNNEL_KEYS": "1:short"}, "32 bytes"),
        ({"FUNNEL_CONTENT": "/nowhere"}, "holds no funnel"),
        ({"DATABASE_URL": "sqlite:///x.db"}, "FUNNEL_MAIL is required"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_no_traceback(env: dict[str, str], said: str, tmp_path: Path) -> None:
    service = launch(tmp_path, env=env)
    assert service.process.wait(PATIENCE_S) == 1
    log = service.log.read_text()
    assert said in log
    assert "Traceback" not in log


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        for name in ("web", "worker"):
            os.kill(service.pid(name), signal.SIGKILL)
        os.kill(next(pid for pid, command in service.family().items() if "valkey-server unixsocket" in command), 9)
        until(lambda: service.log.read_text().count("starting it again") >= 3, "three restarts")
        until(service.ready, "the service to be ready")
        assert service.process.poll() is None


def test_a_lost_keyring_is_never_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.stop()
    (tmp_path / "keyring").unlink()
    again = launch(tmp_path)
    assert again.process.wait(PATIENCE_S) == 1
    assert "keyring is missing" in again.log.read_text()
    assert not (tmp_path / "keyring").exists()


def test_the_hosted_processes_run_on_postgresql_and_arqs_own_command_line(tmp_path: Path, databases: Databases) -> None:
    with running(tmp_path / "redis") as lender:
        valkey = next((tmp_path / "redis" / "valkey").glob("valkey.sock"), None)
        pointer = tmp_path / "redis" / "valkey" / "socket"
        env = {
            "DATABASE_URL": databases.empty("postgresql").replace("postgresql://", "postgres://"),
            "REDIS_URL": f"unix://{valkey or pointer.read_text() + '/valkey.sock'}?db=1",
            "FUNNEL_KEYS": f"1:{base64.b64encode(bytes(32)).decode()}",
            "FUNNEL_MAIL": "outbox",
            "FUNNEL_HOST": "127.0.0.1",
        }
        migrating = launch(tmp_path / "hosted", command=("migrate",), env=env)
        assert migrating.process.wait(60) == 0, migrating.log.read_text()
        web = launch(tmp_path / "hosted", command=("web",), env=env)
        arq = subprocess.Popen(
            [Path(sys.executable).with_name("arq"), "funnel.worker.WorkerSettings"],
            env={**os.environ, **env, "FUNNEL_HOME": str(tmp_path / "hosted"), "FUNNEL_DAY": "100ms"},
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: web.ready() and "tick_age_ms" in _readyz(web.url), "the hosted service")
            until(lambda: '"tick_age_ms":null' not in _readyz(web.url), "arq's first tick")
            assert lender.ready()
        finally:
            arq.terminate()
            assert arq.wait(60) == 0
            assert web.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_whose_redis_never_answers_still_stops_when_it_is_told_to(signum: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {"REDIS_URL": f"redis://127.0.0.1:{silent.getsockname()[1]}"}
        assert launch(tmp_path, command=("migrate",), env=env).process.wait(60) == 0
        worker = launch(tmp_path, command=("worker",), env=env)
        until(lambda: "Redis does not answer" in worker.log.read_text(), "the worker to notice")
        assert worker.process.poll() is None
        assert worker.stop(signum) == 0
        assert "Traceback" not in worker.log.read_text()


def _readyz(url: str) -> str:
    return httpx2.get(f"{url}/readyz").text
