"""Prefect on this one machine, in the foreground: ``make prefect``.

A server unless one answers already, the work pool, the deployments of ``prefect.yaml``, and a
worker. Ctrl-C ends what was started here, the worker first. Everything is kept in ``data/prefect``.
``make prefect PORT=4300`` takes another port, and ``prefect.toml`` remembers it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import httpx
from dotenv import dotenv_values

from two_tower.core import loopback, prefect_server
from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.progress import console
from two_tower.core.settings import Settings, read_settings
from two_tower.interfaces.failures import guarded

START_SECONDS = 120
# A worker gives each flow half a minute to end its step, or to roll it back, before it kills it.
STOP_SECONDS = 60
OURS = (
    "# Written by make prefect PORT=…: where Prefect's commands find the server of this project.\n"
)


def serve(port: str | None = None) -> None:
    """Start server and worker, and wait for Ctrl-C, SIGTERM or the end of the worker.

    Args:
        port: of the server from now on; by default the one it has.

    Raises:
        InputError: something else listens there, or the deployments are another checkout's.
        UnavailableError: the server did not come up, or the worker ended by itself.
    """
    settings = read_settings()
    if port is not None:
        choose_port(settings.project_dir, port)
    os.environ.setdefault("PREFECT_HOME", str(settings.path(settings.prefect_dir).resolve()))
    os.environ.setdefault("DO_NOT_TRACK", "1")
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    api = prefect_server.find(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _interrupt)
    # A shell script starts background processes with SIGINT ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        _have_server(stack, api)
        worker = _begin_worker(stack, settings, api)
        console.print(
            f"\n[bold]Prefect is up[/bold]: {api.removesuffix('/api')}\n"
            "  now:   .venv/bin/two-tower run weekly-two-tower\n  stop:  Ctrl-C",
            highlight=False,
        )
        code = worker.wait()
        raise UnavailableError(f"the worker ended (exit code {code})", "its output above says why")


def choose_port(project: Path, port: str) -> None:
    """Write a ``prefect.toml`` that names a server on this port of this machine.

    Raises:
        InputError: it is not a port, or another setting names a server.
    """
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"PORT={port} is not a port", "make prefect PORT=4300")
    api = f"http://127.0.0.1:{int(port)}/api"
    file = project / "prefect.toml"
    written = dotenv_values(project / ".env").get("PREFECT_API_URL")
    named = os.environ.get("PREFECT_API_URL") or written
    if named and named.rstrip("/") != api:
        raise InputError(
            f"PORT={port}, but PREFECT_API_URL, of the environment or of .env, is {named}",
            "remove one of the two",
        )
    if file.exists() and not file.read_text(encoding="utf-8").startswith(OURS):
        raise InputError(
            f"{file} is yours, and PORT={port} would overwrite it",
            f'write url = "{api}" there, under [api]',
        )
    file.write_text(f'{OURS}[api]\nurl = "{api}"\n', encoding="utf-8")


def _have_server(stack: ExitStack, api: str) -> None:
    """Start a server unless one answers."""
    if prefect_server.answers(api):
        console.print(f"A Prefect server answers at {api}: it is used, and left running.")
        return
    if not loopback.is_loopback(api):
        prefect_server.require(api)
    address = ["--host", str(urlsplit(api).hostname), "--port", str(prefect_server.port(api))]
    server = _begin(stack, "server", "start", *address)
    deadline = time.monotonic() + START_SECONDS
    while not _is_up(api):
        if server.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                f"the Prefect server did not come up at {api}", "its output above says why"
            )
        time.sleep(0.5)


def _begin_worker(stack: ExitStack, settings: Settings, api: str) -> subprocess.Popen[bytes]:
    """Deploy this checkout and start a worker for it."""
    from two_tower.interfaces import prefect_deployments

    prefect_deployments.claim(settings)
    pool = prefect_deployments.work_pool()
    _prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    _prefect("--no-prompt", "deploy", "--all")
    name = socket.gethostname()
    _mark_stopped(name, api)
    stack.callback(_mark_stopped, name, api)
    return _begin(stack, "worker", "start", "--pool", pool, "--name", name)


def _mark_stopped(worker: str, api: str) -> None:
    """Mark the dead runs of this machine's worker as Crashed, and send their alarms."""
    from prefect.client.orchestration import get_client

    from two_tower.interfaces.prefect_alerts import wait_for_crashed
    from two_tower.interfaces.prefect_flows import mark_stopped

    since = datetime.now(UTC)
    try:
        if _is_up(api) and (marked := mark_stopped(worker)):
            with get_client(sync_client=True) as client:
                wait_for_crashed(client, marked, since)
    except (httpx.HTTPError, RuntimeError, OSError) as error:
        console.print(f"warning: {error!r}: runs are left as they are.", highlight=False)


def _begin(stack: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
    """Start ``prefect ARGUMENTS``; the stack ends it."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    # A group of its own: Ctrl-C reaches this process alone, which ends the others in order.
    process = subprocess.Popen(command, start_new_session=True)
    stack.callback(_end, process, arguments[0])
    return process


def _end(process: subprocess.Popen[bytes], name: str) -> None:
    """End a process group: SIGTERM first, then SIGKILL."""
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except ProcessLookupError:
            break
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: no more waiting
            continue
    console.print(f"Stopped the {name}.")


def _prefect(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}")


def _is_up(api: str) -> bool:
    try:
        return prefect_server.answers(api)
    except InputError:  # while it starts
        return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    guarded(lambda: serve(*sys.argv[1:]))
