"""A real Prefect server, and a worker of it, for the length of a test."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from postgres_server import free_port

START_SECONDS = 180
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class PatientClient(httpx.Client):
    """Asks a server again that answers 503, as Prefect's client does: its database was busy."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        for _ in range(40):
            answer = super().send(request, **options)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        return answer


class PrefectServer:
    """Runs ``prefect …`` against a server of its own, and asks its API.

    Args:
        home: the folder of the server.
        environment: more of it, for the server and for what runs on it.
        host: where it listens.

    Attributes:
        processes: the last that was begun, by its name.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], host: str = "127.0.0.1") -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.host, self.port = host, free_port()
        self.home = home
        login = environment.get("PREFECT_API_AUTH_STRING")
        self.api = PatientClient(
            base_url=f"http://{host}:{self.port}/api/",
            timeout=120,
            auth=tuple(login.split(":", 1)) if login else None,
        )
        others = ("PREFECT_", "TWO_TOWER_", "DATABASE_URL")  # the developer's own
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.environment = {
            **kept,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": str(self.api.base_url).rstrip("/"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **environment,
        }

    def command(self, *arguments: str, cwd: Path) -> str:
        """Run ``prefect ARGUMENTS`` to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"prefect {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def process(self, *arguments: str, cwd: Path) -> Iterator[Path]:
        """Keep ``prefect ARGUMENTS`` running inside the block; yields the path of its log."""
        log = self.home / f"{arguments[0]}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                env=self.environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its children can be ended with it
            )
            self.processes[arguments[0]] = process
            try:
                yield log
            finally:
                _end(process)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keep the server itself running inside the block."""
        start = ("server", "start", "--host", self.host, "--port", str(self.port))
        with self.process(*start, cwd=self.home) as log:
            self.wait_until_healthy(log)
            yield

    def wait_until_healthy(self, log: Path) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.api.get("health").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        raise AssertionError(f"no Prefect server after {START_SECONDS} s:\n{log.read_text()}")

    def post(self, path: str, **body: Any) -> Any:
        """POST to the API and return its JSON."""
        return self.api.post(path, json=body).raise_for_status().json()

    def age(self, flow_run_id: str) -> None:
        """Let a flow run have been in its state for a day: the API takes no moment but now."""
        with sqlite3.connect(self.home / "prefect.db", timeout=30) as database:
            changed = database.execute(
                "update flow_run_state set timestamp ="
                " strftime('%Y-%m-%d %H:%M:%f', timestamp, '-1 day') where flow_run_id = ?",
                (flow_run_id,),
            )
            assert changed.rowcount > 0
        database.close()

    def run_deployment(self, name: str, *arguments: str, cwd: Path) -> str:
        """Ask for a run of a deployment, as the command line does; returns the flow run's id."""
        printed = self.command("deployment", "run", name, *arguments, cwd=cwd)
        found = re.search(r"UUID: ([0-9a-f-]{36})", printed)
        assert found, printed
        return found[1]

    def wait_for(self, flow_run_id: str, seconds: float, log: Path) -> dict[str, Any]:
        """Return the flow run once it has ended.

        Raises:
            AssertionError: it has not ended in time; the worker's log is in the message.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run: dict[str, Any] = self.api.get(f"flow_runs/{flow_run_id}").json()
            if run["state_type"] in TERMINAL:
                return run
            time.sleep(0.5)
        state = run["state_type"]
        raise AssertionError(f"{state} after {seconds:.0f} s:\n{log.read_text()}")


@contextmanager
def running_server(
    environment: Mapping[str, str] | None = None, host: str = "127.0.0.1"
) -> Iterator[PrefectServer]:
    """Start a server with a folder of its own, and stop it at the block's end."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="pf", dir="/tmp"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        server = PrefectServer(home, environment or {}, host)
        stack.callback(server.api.close)
        stack.enter_context(server.serving())
        yield server


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group: asked first, then made to."""
    for sign, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait(5)
