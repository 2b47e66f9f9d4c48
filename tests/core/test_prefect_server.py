"""Where the project's Prefect server is, and what is said of what answers there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from conftest import PROJECT_DIR, make_settings
from postgres_server import free_port
from two_tower.core import prefect_server
from two_tower.core.errors import ExitCode, InputError, UnavailableError
from two_tower.interfaces import prefect_alerts
from two_tower.interfaces.prefect_local import choose_port


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what says where the server is."""
    for name in ("pyproject.toml", "dbt_project.yml", "automations.yaml"):
        (tmp_path / name).write_text((PROJECT_DIR / name).read_text(encoding="utf-8"))
    return tmp_path


def typed(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the project's environment, typed in a bare shell."""
    program, *rest = arguments
    return subprocess.run(
        [Path(sys.executable).parent / program, *rest],
        env={"PATH": os.defpath, "HOME": str(project / "home"), **variables},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def answering(
    status: int, content: str, kind: str = "text/html", version: str | None = None
) -> Iterator[str]:
    """The address of a server that says the same to everybody who does not ask its version."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.end_headers()
            asked = self.path.endswith("/admin/version") and version is not None
            self.wfile.write((f'"{version}"' if asked else content).encode())

        def log_message(self, *values: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()


def test_a_prefect_server_is_known_by_its_health() -> None:
    with answering(200, "true", "application/json") as api:
        assert prefect_server.answers(api)
    with answering(401, '{"exception_message":"Unauthorized"}', "application/json") as api:
        assert prefect_server.answers(api)


@pytest.mark.parametrize(
    ("status", "content"), [(200, "<html>"), (404, ""), (500, ""), (200, '{"status": "ok"}')]
)
def test_what_answers_and_is_no_prefect_is_said_to_be_that(status: int, content: str) -> None:
    with answering(status, content) as api, pytest.raises(InputError) as refused:
        prefect_server.answers(api)
    assert f"what answers at {api} is not a Prefect server (HTTP {status}" in str(refused.value)
    assert "make prefect PORT=" in refused.value.hint


def test_what_speaks_no_http_is_no_prefect_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        api = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        with pytest.raises(InputError, match="is not a Prefect server"):
            prefect_server.answers(api)


def test_a_url_without_api_is_mended() -> None:
    with answering(404, "") as api, pytest.raises(InputError) as refused:
        prefect_server.answers(api.removesuffix("/api"))
    assert "ends in /api" in refused.value.hint


def test_where_nothing_answers_the_way_out_depends_on_whose_machine_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(UnavailableError) as here:
        prefect_server.require(f"http://127.0.0.1:{free_port()}/api")
    assert here.value.hint == "make prefect starts it, in a terminal of its own"
    assert "(pyproject.toml)" in str(here.value)

    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.invalid/api")
    with pytest.raises(UnavailableError) as there:
        prefect_server.require("http://prefect.invalid/api")
    assert "(PREFECT_API_URL of the environment)" in str(there.value)
    assert "is it running?" in there.value.hint


def test_each_place_that_may_name_the_server_comes_in_its_turn(project: Path) -> None:
    """The environment, then .env, then prefect.toml; for Prefect's commands as for ours."""
    by_port, by_file, by_variable = (f"http://127.0.0.1:{free_port()}/api" for _ in range(3))

    def named(program: str = "two-tower", **variables: str) -> str:
        command = {"two-tower": ("run",), "prefect": ("deployment", "run")}[program]
        refused = typed(project, program, *command, "rollback", **variables)
        assert refused.returncode == ExitCode.UNAVAILABLE, refused.stderr
        return refused.stderr.split("no Prefect server answers at ")[1].split()[0]

    choose_port(project, by_port.split(":")[2].removesuffix("/api"))
    assert named() == named("prefect") == by_port
    (project / ".env").write_text(f"PREFECT_API_URL={by_file}\n")
    assert named() == by_file
    assert named(PREFECT_API_URL=by_variable) == by_variable


def test_a_server_that_would_not_last_is_refused(project: Path) -> None:
    refused = typed(project, "two-tower", "alerts", "https://hooks.example/x", PREFECT_API_URL="")
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "no setting names a Prefect server" in refused.stderr


def test_a_server_of_another_version_is_said_to_be_that(project: Path) -> None:
    with answering(200, "true", "application/json", version="2.20.0") as api:
        refused = typed(project, "two-tower", "run", "rollback", PREFECT_API_URL=api)
    assert refused.returncode == ExitCode.BAD_INPUT
    assert f"the Prefect server at {api}: Found incompatible versions" in refused.stderr


def test_the_help_of_a_command_needs_no_server(project: Path) -> None:
    assert typed(project, "prefect", "deployment", "--help").returncode == 0


@pytest.mark.parametrize("url", ["hooks.example/x", "ftp://hooks.example/x", "https://"])
def test_alarms_are_for_a_url(url: str) -> None:
    with pytest.raises(InputError, match="not the URL of a webhook"):
        prefect_alerts.create(make_settings("duckdb"), url)


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", ""])
def test_a_port_is_a_number_that_there_is(project: Path, port: str) -> None:
    with pytest.raises(InputError, match="is not a port"):
        choose_port(project, port)
    assert not (project / "prefect.toml").exists()


def test_a_port_that_another_setting_contradicts_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    with pytest.raises(InputError, match="but PREFECT_API_URL"):
        choose_port(project, "4300")
    choose_port(project, "4200")


def test_a_prefect_toml_of_ones_own_is_not_written_over(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    own = project / "prefect.toml"
    own.write_text('[logging]\nlevel = "DEBUG"\n')
    with pytest.raises(InputError, match="is yours"):
        choose_port(project, "4300")
    assert own.read_text() == '[logging]\nlevel = "DEBUG"\n'


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_whose_server_is_away_is_no_stranger(status: int) -> None:
    with answering(status, "") as api:
        assert not prefect_server.answers(api)
