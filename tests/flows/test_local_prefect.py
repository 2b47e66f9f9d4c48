"""``make prefect``: everything comes up, a run goes, Ctrl-C ends all of it; and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from flows.prefect_server import TERMINAL, PrefectServer
from flows.test_weekly_two_tower import scratch_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]


@pytest.fixture
def project() -> Iterator[Path]:
    with scratch_project() as folder:
        yield folder


def test_it_comes_up_runs_and_ends_cleanly(project: Path) -> None:
    server = PrefectServer(project / "data/prefect", {"TWO_TOWER_TARGET": "embedded"})
    del server.environment["PREFECT_HOME"]  # its own choice is below the project
    log = project / "prefect.log"
    for times, sign in ((1, signal.SIGINT), (2, signal.SIGTERM)):
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "two_tower.local_prefect"],
                env={**server.environment, "TWO_TOWER_PROJECT_DIR": str(project)},
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # As a shell script starts what it puts in the background.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )
        try:
            _wait_until_up(times, log, process)
            names = {row["name"] for row in server.post("deployments/filter")}
            assert names == {"weekly-two-tower", "daily-embeddings", "rollback"}
            if times == 1:
                run = server.run_deployment("daily-embeddings/daily-embeddings", cwd=project)
                ended = server.wait_for(run, 120, log)
                # Nothing has been released that could embed.
                assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "NotEnoughData")
            started = psutil.Process(process.pid).children(recursive=True)
            assert len(started) >= 2
            before = len(log.read_text())
            os.kill(process.pid, sign)
            assert process.wait(60) == 130
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert [one for one in started if one.is_running()] == []
        with pytest.raises(httpx.TransportError):
            server.api.get("health")
        assert "Traceback" not in log.read_text()[before:]
    assert (project / "data/prefect/prefect.db").exists()
    assert ended["state_type"] in TERMINAL


def _wait_until_up(times: int, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while log.read_text().count("Prefect is up") < times:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
