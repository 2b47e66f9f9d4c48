"""``make prefect`` as it is typed: in a bare shell, with a second terminal and a second checkout.

Nothing of ours is in the environment, the profile in ``~/.prefect`` names a server elsewhere, and
the database is the embedded default.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from conftest import PROJECT_DIR
from interfaces.prefect_server import PrefectServer
from interfaces.scratch_project import scratch_project
from two_tower.core.errors import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prefect")]

WEEKLY = "weekly-two-tower"
PROFILE = """active = "elsewhere"
[profiles.elsewhere]
PREFECT_API_URL = "http://127.0.0.1:9/api"
"""


@dataclass
class Terminal:
    """A bare shell in a checkout: a PATH, and a home with a profile that names another server."""

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home)}

    def type(self, command: str, folder: str = ".", **variables: str) -> Any:
        """Type a command to its end."""
        return subprocess.run(
            command.split(),
            env={**self.environment, **variables},
            cwd=self.folder / folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@dataclass
class Made:
    """``make prefect`` in a terminal of its own.

    Attributes:
        shell: the second terminal, in the same checkout.
        server: asks the API of the server that came up.
    """

    shell: Terminal
    server: PrefectServer
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def log(self) -> Path:
        return self.shell.folder / "prefect.log"

    def begin(self, *arguments: str) -> None:
        """Start it, and return when it is up."""
        before = self.log.read_text().count("Prefect is up") if self.log.exists() else 0
        self.log.touch()
        screen, terminal = pty.openpty()  # where programs ask questions
        self.process = subprocess.Popen(
            ["make", "prefect", *arguments],
            env=self.shell.environment | {"TERM": "xterm", "COLUMNS": "200"},
            cwd=self.shell.folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            # As a shell script starts what it puts in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        os.close(terminal)
        threading.Thread(target=self._keep, args=(screen,), daemon=True).start()
        deadline = time.monotonic() + 300
        while self.log.read_text().count("Prefect is up") == before:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.5)

    def _keep(self, screen: int) -> None:
        """Write what a terminal is shown to the log, as plain text."""
        with os.fdopen(screen, "rb") as shown, suppress(OSError):  # which is how a terminal ends
            for line in shown:
                with self.log.open("ab") as log:
                    log.write(re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r", b"", line))

    def end(self, how: Any) -> str:
        """End it; nothing that it started is left. Returns what it said."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        assert len(started) >= 3
        before = len(self.log.read_text())
        how()
        self.process.wait(120)
        assert [one for one in started if one.is_running()] == []
        with pytest.raises(httpx.TransportError):
            self.server.api.get("health")
        said = self.log.read_text()[before:]
        assert "Traceback" not in said
        return said

    def start_run(self, name: str = WEEKLY) -> str:
        done = self.shell.type(f".venv/bin/two-tower run {name} --json")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["flow_run"])

    def is_at(self, flow_run: str, step: str, seconds: float = 120) -> bool:
        """Wait until a run is at a step."""
        by_run = {"flow_runs": {"id": {"any_": [flow_run]}}}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            tasks = self.server.post("task_runs/filter", **by_run)
            if any(task["name"].startswith(step) for task in tasks):
                return True
            time.sleep(0.3)
        return False

    def deliver(self, number: int) -> None:
        """A new file, so that the next run has something to build."""
        reviews = self.shell.folder / "data/raw/reviews"
        page = next(reviews.glob("dmm_reviews_sample_*.csv")).read_text().splitlines()[1]
        (reviews / f"dmm_reviews_new_{number}.csv").write_text(
            f"product_url,reviewer_id,stars\n{page.split(',')[0]},new-{number},5\n"
        )

    def kept_state(self, flow_run: str) -> tuple[str, str]:
        """The state of a run in the server's database, while there is no server."""
        with sqlite3.connect(self.shell.folder / "data/prefect/prefect.db") as database:
            found = database.execute(
                "select state_type, state_name from flow_run where id = ?", (flow_run,)
            ).fetchone()
        database.close()
        return tuple(found)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / ".prefect").mkdir()
    (home / ".prefect/profiles.toml").write_text(PROFILE)
    return home


@pytest.fixture(scope="module")
def made(home: Path) -> Iterator[Made]:
    with scratch_project() as project:
        shell = Terminal(project, home)
        done = shell.type(".venv/bin/two-tower sample-data --reviews 3000")
        assert done.returncode == 0, done.stderr
        made = Made(shell, PrefectServer(project / "data/prefect", {}))
        try:
            made.begin(f"PORT={made.server.port}")
            yield made
        finally:
            if made.process.poll() is None:
                os.killpg(made.process.pid, signal.SIGTERM)
                made.process.wait(120)


@pytest.fixture(scope="module")
def second_checkout(home: Path) -> Iterator[Terminal]:
    with scratch_project() as project:
        yield Terminal(project, home)


@pytest.fixture(scope="module")
def webhook() -> Iterator[tuple[str, list[str]]]:
    """The URL of a receiver, and the texts that came."""
    received: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/gone":
                self.send_response(410)
            else:
                assert self.headers["content-type"] == "application/json"
                received.append(json.loads(content)["text"])
                self.send_response(200)
            self.end_headers()

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{receiver.server_port}", received
    receiver.shutdown()


def test_a_second_terminal_finds_the_server(made: Made, tmp_path: Path) -> None:
    """By the commands that README and runbook print, beside a proxy, and from a subfolder."""
    pages = [PROJECT_DIR / "README.md", PROJECT_DIR / "docs/runbook.md"]
    commands = "".join(page.read_text(encoding="utf-8") for page in pages)
    ours = f".venv/bin/two-tower run {WEEKLY}"
    prefects = f".venv/bin/prefect deployment run {WEEKLY}/{WEEKLY}"
    assert ours in commands
    assert prefects in commands
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}

    by_ours = made.shell.type(f"{ours} --json", **proxy)
    by_prefects = made.shell.type(prefects, **proxy)
    bare = Terminal(made.shell.folder, tmp_path).type(".venv/bin/prefect deployment ls")

    assert by_ours.returncode == 0, by_ours.stderr
    assert by_prefects.returncode == 0, by_prefects.stderr
    assert WEEKLY[:12] in bare.stdout
    runs = [json.loads(by_ours.stdout)["flow_run"], by_prefects.stdout.split("UUID: ")[1][:36]]
    for run in runs:
        ended = made.server.wait_for(run, 400, made.log)
        assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "Completed")

    # Not before: beside a weekly run it would be Skipped, or the weekly run beside it.
    below = made.shell.type("../.venv/bin/two-tower run daily-embeddings --json", folder="flows")

    assert below.returncode == 0, below.stderr
    ended = made.server.wait_for(json.loads(below.stdout)["flow_run"], 400, made.log)
    assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "Completed")


def test_a_second_checkout_is_refused_and_the_first_ones_deployments_stay(
    made: Made, second_checkout: Terminal
) -> None:
    port = made.server.port
    for command in (
        f"make prefect PORT={port}",
        ".venv/bin/prefect --no-prompt deploy --all",
        ".venv/bin/two-tower run rollback",
    ):
        refused = second_checkout.type(command)
        assert refused.returncode in (2, ExitCode.BAD_INPUT), command  # make's own is 2
        said = refused.stdout + refused.stderr
        assert f"of another checkout, {made.shell.folder}" in said, said
        assert "make prefect PORT=" in said
        assert "Traceback" not in said

    for deployment in made.server.post("deployments/filter"):
        (pull,) = deployment["pull_steps"]
        assert pull["two_tower.interfaces.prefect_checkout.enter"]["directory"] == str(
            made.shell.folder
        )


def test_alarms_are_received(made: Made, webhook: tuple[str, list[str]]) -> None:
    url, received = webhook
    refused = made.shell.type(f".venv/bin/two-tower alerts {url}/gone")
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "127.0.0.1 refused the test message: HTTP 410" in refused.stderr
    assert made.server.post("automations/filter") == []

    created = made.shell.type(f".venv/bin/two-tower alerts {url}/secret")

    assert created.returncode == 0, created.stderr
    assert "arrived, HTTP 200" in created.stdout
    assert "secret" not in created.stdout
    assert len(received) == 1
    assert "This one is a test" in received[0]

    nowhere = {"TWO_TOWER_TARGET": "postgres", "TWO_TOWER_RETRY_SECONDS": "0"}
    run = made.server.run_deployment(
        f"{WEEKLY}/{WEEKLY}", "--job-variable", f"env={json.dumps(nowhere)}", cwd=made.shell.folder
    )
    ended = made.server.wait_for(run, 180, made.log)
    assert ended["state_type"] == "FAILED"
    failed = f"{ended['name']} of {WEEKLY} is Failed: target postgres,"
    assert _comes(received, failed)


def test_alarms_that_are_there_are_brought_up_to_date_and_no_run_at_all_is_one(
    made: Made, webhook: tuple[str, list[str]]
) -> None:
    url, received = webhook
    file = made.shell.folder / "automations.yaml"
    text = file.read_text(encoding="utf-8")
    assert "within: 777600" in text
    file.write_text(text.replace("within: 777600", "within: 10"), encoding="utf-8")

    assert made.shell.type(f".venv/bin/two-tower alerts {url}").returncode == 0

    names = sorted(row["name"] for row in made.server.post("automations/filter"))
    assert names == ["two-tower has not run", "two-tower run went wrong"]
    assert _comes(received, f"{WEEKLY} has not ended well for nine days")


def test_ctrl_c_and_sigterm_mark_the_run_that_they_stop_and_the_next_does_not_wait(
    made: Made, webhook: tuple[str, list[str]]
) -> None:
    made.deliver(1)
    stopped = made.start_run()
    assert made.is_at(stopped, "build"), made.log.read_text()
    waiting = made.start_run()
    assert any((made.shell.folder / "data/prefect/concurrency_leases").iterdir())

    # A terminal's Ctrl-C reaches the whole group: make and what it runs.
    said = made.end(lambda: os.killpg(made.process.pid, signal.SIGINT))

    assert made.process.returncode == 2
    assert "interrupted" in said
    assert made.kept_state(stopped) == ("CRASHED", "Crashed")
    assert _comes(webhook[1], "is Crashed: It was stopped together with its worker", seconds=0)

    with _moved(made.shell):  # where its deployments name a folder that has gone
        made.begin()  # the port is remembered
        assert made.is_at(waiting, "build"), made.log.read_text()

        made.end(made.process.terminate)  # as a service manager does, of make alone

        assert made.kept_state(waiting) == ("CRASHED", "Crashed")


@contextmanager
def _moved(shell: Terminal) -> Iterator[None]:
    """The checkout in another folder, for the length of the block."""
    here = shell.folder
    _move(shell, here.with_name(f"{here.name}-moved"))
    try:
        yield
    finally:
        _move(shell, here)


def _move(shell: Terminal, folder: Path) -> None:
    assert shell.type(".venv/bin/two-tower db stop").returncode == 0
    shell.folder.rename(folder)
    shell.folder = folder


def test_without_a_server_both_commands_name_it_and_what_starts_it(made: Made) -> None:
    for command in (
        f".venv/bin/two-tower run {WEEKLY}",
        f".venv/bin/prefect deployment run {WEEKLY}/{WEEKLY}",
        ".venv/bin/two-tower alerts https://hooks.example/x",
    ):
        refused = made.shell.type(command)
        assert refused.returncode == ExitCode.UNAVAILABLE, refused.stderr
        assert f"no Prefect server answers at http://127.0.0.1:{made.server.port}" in refused.stderr
        assert "make prefect starts it" in refused.stderr
        assert "temporary server" not in refused.stderr
        assert "Traceback" not in refused.stderr


def _comes(received: list[str], text: str, seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while not any(text in one for one in received):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
