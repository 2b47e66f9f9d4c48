"""Prefect on this one machine, in the foreground: ``make prefect``.

A server unless one answers already, the work pool, the deployments of ``prefect.yaml``, and a
worker. Ctrl-C ends what was started here, the worker first. Everything is kept in ``data/prefect``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import httpx

from two_tower import pipeline
from two_tower.errors import BusyError, TwoTowerError, UnavailableError
from two_tower.failures import guarded
from two_tower.progress import console
from two_tower.settings import Settings, read_settings

DEFAULT_API = "http://127.0.0.1:4200/api"
POOL = "two-tower"
START_SECONDS = 120
# A flow that runs is given this long to end its step, or to roll it back.
STOP_SECONDS = 30


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of Prefect's programs; what is set already stays as it is."""
    return {
        "PREFECT_API_URL": DEFAULT_API,
        "PREFECT_HOME": str(settings.path(settings.prefect_dir)),
        # In memory, leases are lost with the server, and the slots of their runs are never free.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        # By default only events are removed, after seven days; so are runs that ended 90 days ago,
        # with their logs and artifacts.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **os.environ,
    }


def serve() -> None:
    """Bring everything up, and stay until Ctrl-C, SIGTERM or the end of one of the two programs.

    Raises:
        UnavailableError: the server did not come up, or one of the two programs ended by itself.
    """
    settings = read_settings()
    os.environ.update(environment(settings))
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    api = os.environ["PREFECT_API_URL"]
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell script starts what it puts in the background deaf to it, and what that starts too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        if _answers(api):
            console.print(f"A Prefect server answers at {api}: it is used, and left running.")
        else:
            place = urlsplit(api)
            address = ["--host", place.hostname or "127.0.0.1", "--port", str(place.port or 4200)]
            server = _begin(stack, "server", "start", *address)
            _wait_for(api, server)
        _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect("--no-prompt", "deploy", "--all")
        _mark_orphans(settings)
        worker = _begin(stack, "worker", "start", "--pool", POOL, "--name", "this-machine")
        console.print(
            f"\n[bold]Prefect is up[/bold]: {api.removesuffix('/api')}\n"
            "  now:   two-tower run weekly-two-tower\n  stop:  Ctrl-C",
            highlight=False,
        )
        code = worker.wait()
        raise UnavailableError(f"the worker ended (exit code {code})", "its output above says why")


def _begin(stack: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
    """Start ``prefect ARGUMENTS`` and see to its end."""
    command = [sys.executable, "-m", "prefect", *arguments]
    # A group of its own: Ctrl-C reaches this process alone, which ends the others in order.
    process = subprocess.Popen(command, start_new_session=True)
    stack.callback(_end, process, arguments[0])
    return process


def _end(process: subprocess.Popen[bytes], name: str) -> None:
    """End a program and what it has started: asked first, then made to."""
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
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


def _mark_orphans(settings: Settings) -> None:
    """Do what a run's preflight does: a slot that leaked would keep that very run waiting."""
    from two_tower.orchestration import mark_orphans

    try:
        with pipeline.alone(settings.model_copy(update={"retry_seconds": 0.0}), pipeline.STEPS):
            for run in mark_orphans(settings):
                console.print(f"Marked run {run} Crashed: its process has gone.")
    except BusyError as error:
        console.print(f"{error}: runs are left as they are.", highlight=False)
    except TwoTowerError as error:
        console.print(f"warning: {error}: runs are left as they are.", highlight=False)


def _wait_for(api: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(api):
        if server.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                f"the Prefect server did not come up at {api}",
                "its output above says why; is the port taken?",
            )
        time.sleep(0.5)


def _answers(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    guarded(serve)
