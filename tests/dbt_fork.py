"""dbt for the tests: imported once by a process that forks for each command.

Importing dbt and its adapters takes several seconds of a core, more than most of the tests' builds.
What a test calls through :func:`two_tower.database.dbt.run` goes here; a command that starts
``two-tower`` as a process of its own starts dbt as users do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

Shown = tuple[int, str]


class ForkServer:
    """Runs ``dbt`` commands in forks of one process.

    Args:
        address: of the process's Unix socket.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, command: Sequence[str], env: dict[str, str], folder: Path) -> Shown:
        """Do what ``two_tower.database.dbt._shown`` does: exit code, and the output's end."""
        reading, writing = os.pipe()
        request = json.dumps({"argv": list(command[1:]), "env": env, "folder": str(folder)})
        end: deque[str] = deque(maxlen=1000)
        with socket.socket(socket.AF_UNIX) as asked, open(reading, errors="replace") as output:  # noqa: PTH123
            asked.connect(self.address)
            socket.send_fds(asked, [request.encode() + b"\n"], [writing])
            os.close(writing)
            for line in output:
                sys.stderr.write(line)
                end.append(line)
            code = int(asked.makefile().readline())
        return code, "".join(end)


@contextmanager
def running() -> Iterator[ForkServer]:
    """Keep the process inside the block."""
    with tempfile.TemporaryDirectory(prefix="df-", dir="/tmp") as folder:
        address = f"{folder}/socket"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            # A thread of a library's own would not be there after a fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        listening.close()
        try:
            yield ForkServer(address)
        finally:
            process.terminate()
            process.wait()


def serve(listening: socket.socket) -> None:
    """Fork for each request until this process is ended."""

    import two_tower.duckdb_plugin  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(asked)
        asked.close()


def _answer(asked: socket.socket) -> None:
    """In a fork: run one command in a fork of it, and send its exit code."""
    text, (writing,), _, _ = socket.recv_fds(asked, 1 << 20, 1)
    while not text.endswith(b"\n"):
        text += asked.recv(1 << 20)
    child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(writing, number)
        os.close(writing)
        asked.close()
        _run(json.loads(text))
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(request: dict[str, object]) -> None:
    """Be the command: its environment, folder and arguments; never returns."""
    from dbt.cli.main import cli

    environment = request["env"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(request["folder"]))
    # Those of the process were made for what its own output was.
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8:replace").partition(":")
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(number, "w", encoding=encoding or "utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    sys.argv = ["dbt", *map(str, request["argv"])]  # type: ignore[call-overload]
    code: object = 1
    try:
        cli()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
