"""Programs for the tests: imported once by a process that forks for each command.

Importing dbt and its adapters takes several seconds of a core, and what `two-tower` needs as many:
more than most of the tests' work. What a test calls through :func:`two_tower.database.dbt.run` goes
here; a test that wants a command line of its own asks :meth:`Forks.end` for it. What starts as a
process of its own starts as users do.
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
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

WITH_MANIFEST = "TT_TESTS_MANIFEST"
Shown = tuple[int, str]


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    returncode: int
    stdout: str
    stderr: str
    peak_mib: float


class Forks:
    """Runs commands in forks of two processes, of which one has imported dbt, one two-tower.

    Args:
        folder: of the processes' Unix sockets, `dbt` and `two-tower`.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, command: Sequence[str], env: dict[str, str], folder: Path) -> Shown:
        """Do what ``two_tower.database.dbt._shown`` does: exit code, and the output's end."""
        end: deque[str] = deque(maxlen=1000)
        with self._asked(["dbt", *command[1:]], env, folder, 1) as (asked, (output,)):
            for line in output:
                sys.stderr.write(line)
                end.append(line)
            asked.readline()
            code = json.loads(asked.readline())["code"]
        return code, "".join(end)

    def end(
        self, command: Sequence[Any], env: Mapping[str, str], folder: Path, seconds: float = 900
    ) -> Ended:
        """Run `dbt …`, `two-tower …`, `python -c …` or `python -m …` to its end; stdin is empty.

        Args:
            command: of its program the name alone counts.
            env: all of its environment.
            folder: that it is in.
            seconds: after which it is killed.
        """
        argv = [Path(command[0]).name, *map(str, command[1:])]
        with self._asked(argv, env, folder, 2) as (asked, (output, errors)):
            late = threading.Timer(seconds, os.kill, (int(asked.readline()), signal.SIGKILL))
            late.start()
            found: list[str] = []
            reader = threading.Thread(target=lambda: found.append(errors.read()))
            reader.start()
            printed = output.read()
            reader.join()
            answer = json.loads(asked.readline())
            late.cancel()
        return Ended(answer["code"], printed, found[0], answer["peak_kib"] / 1024)

    @contextmanager
    def _asked(
        self, argv: list[str], env: Mapping[str, str], folder: Path, streams: int
    ) -> Iterator[tuple[Any, list[Any]]]:
        """Yield the socket of a command that has begun, and its output."""
        with contextlib.ExitStack() as stack:
            pipes = [os.pipe() for _ in range(streams)]
            outputs = [stack.enter_context(open(r, errors="replace")) for r, _ in pipes]  # noqa: PTH123
            asked = stack.enter_context(socket.socket(socket.AF_UNIX))
            asked.connect(f"{self.folder}/{'dbt' if argv[0] == 'dbt' else 'two-tower'}")
            request = {"argv": argv, "env": dict(env), "folder": str(folder)}
            socket.send_fds(asked, [json.dumps(request).encode() + b"\n"], [w for _, w in pipes])
            for _, writing in pipes:
                os.close(writing)
            yield stack.enter_context(asked.makefile()), outputs


@contextmanager
def running() -> Iterator[Forks]:
    """Keep the processes inside the block; that of two-tower starts with its first command."""
    with tempfile.TemporaryDirectory(prefix="df-", dir="/tmp") as folder:
        processes = []
        for name in ("dbt", "two-tower"):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(f"{folder}/{name}")
            listening.listen()
            processes.append(
                subprocess.Popen(
                    [sys.executable, __file__, str(listening.fileno()), name, folder],
                    pass_fds=[listening.fileno()],
                    # A thread of a library's own would not be there after a fork.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    stdin=subprocess.DEVNULL,
                )
            )
            listening.close()
        try:
            yield Forks(folder)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def serve(listening: socket.socket, name: str, folder: str) -> NoReturn:
    """Fork for each request until this process is ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    imported = False
    while True:
        asked, _ = listening.accept()
        if not imported:
            # As a program does that is started: from no folder of the tests.
            sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]
            import_dbt(Path(folder)) if name == "dbt" else import_two_tower(folder)
            imported = True
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(asked)
        asked.close()


def import_dbt(folder: Path) -> None:
    """Import dbt, and let what it has parsed once of one state of a project be there for all.

    Of the connection dbt takes all for a part of that state. Here only what the SQL has of it is,
    so a DuckDB file elsewhere is no reason to parse again.

    Every command would write manifest.json, most of them twice, for half a second of a core. Here
    `parse` and `compile` write it, and all commands where WITH_MANIFEST is set.
    """
    from dbt.artifacts.resources import FileHash
    from dbt.parser import manifest
    from dbt.parser.manifest import PARTIAL_PARSE_FILE_NAME, ManifestLoader
    from dbt.task import runnable

    import two_tower.duckdb_plugin  # noqa: F401

    check = ManifestLoader.build_manifest_state_check
    write_manifest = manifest.write_manifest
    read = ManifestLoader.read_manifest_for_partial_parse
    write = ManifestLoader.write_manifest_for_partial_parse

    def state(self: Any) -> Any:
        found, its = check(self), self.root_project.credentials
        found.profile_hash = FileHash.from_contents(f"{its.type} {its.database} {its.schema}")
        return found

    def places(self: Any) -> tuple[Path, Path]:
        """That of the project, and that of all with the same state."""
        text = json.dumps(self.manifest.state_check.to_dict(), sort_keys=True)
        own = Path(self.root_project.project_target_path, PARTIAL_PARSE_FILE_NAME)
        return own, folder / f"{FileHash.from_contents(text).checksum}.msgpack"

    def replace(source: Path, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        new = to.with_suffix(f".{os.getpid()}")
        new.write_bytes(source.read_bytes())
        new.replace(to)

    def read_shared(self: Any) -> Any:
        own, shared = places(self)
        if shared.exists():
            replace(shared, own)
        return read(self)

    def write_shared(self: Any) -> None:
        write(self)
        replace(*places(self))

    def write_if_read(*arguments: Any) -> None:
        if {"parse", "compile"} & set(sys.argv) or WITH_MANIFEST in os.environ:
            write_manifest(*arguments)

    manifest.write_manifest = runnable.write_manifest = write_if_read
    ManifestLoader.build_manifest_state_check = state  # type: ignore[method-assign]
    ManifestLoader.read_manifest_for_partial_parse = read_shared  # type: ignore[method-assign]
    ManifestLoader.write_manifest_for_partial_parse = write_shared  # type: ignore[method-assign]


def import_two_tower(folder: str) -> None:
    """Import the command line and what its commands import; dbt is asked of its own process."""
    from two_tower.artifacts import export, onnx_encoder  # noqa: F401
    from two_tower.data import load, sample_data  # noqa: F401
    from two_tower.database import dbt
    from two_tower.evaluation import evaluate  # noqa: F401
    from two_tower.interfaces import cli, demo  # noqa: F401
    from two_tower.operations import monitor, pipeline, status  # noqa: F401
    from two_tower.serving import embed, recommender, release  # noqa: F401
    from two_tower.training import train  # noqa: F401

    warm_export()
    forks = Forks(folder)
    dbt._shown = forks  # type: ignore[assignment]
    execute = os.execve

    def become(program: Any, argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
        if Path(program).name != "dbt":
            execute(program, argv, env)
        done = forks.end(argv, env, Path.cwd())
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        sys.exit(done.returncode)

    os.execve = become  # type: ignore[assignment]


def warm_export() -> None:
    """Export something: at its first export torch reads for seconds of what it can translate."""
    import io
    import logging
    import warnings

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.nn.Linear(2, 2),
            (torch.zeros(2, 2),),
            io.BytesIO(),
            dynamo=True,
            opset_version=20,
            verbose=False,
        )


def _answer(asked: socket.socket) -> None:
    """In a fork: run one command in a fork of it, and send how it ended."""
    text, writing, _, _ = socket.recv_fds(asked, 1 << 20, 2)
    while not text.endswith(b"\n"):
        text += asked.recv(1 << 20)
    child = os.fork()
    if child == 0:
        for number, to in ((1, writing[0]), (2, writing[-1])):
            os.dup2(to, number)
        for number in writing:
            os.close(number)
        asked.close()
        _run(json.loads(text))
    for number in writing:
        os.close(number)
    with contextlib.suppress(BrokenPipeError):
        asked.sendall(f"{child}\n".encode())
    _, status, usage = os.wait4(child, 0)
    answer = {"code": os.waitstatus_to_exitcode(status), "peak_kib": usage.ru_maxrss}
    with contextlib.suppress(BrokenPipeError):
        asked.sendall(f"{json.dumps(answer)}\n".encode())
    os._exit(0)


def _run(request: dict[str, Any]) -> NoReturn:
    """Be the command: its environment, folder and arguments; never returns."""
    name, *arguments = request["argv"]
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    time.tzset()
    # Those of the process were made for what its own output was.
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8:replace").partition(":")
    for stream, number in (("stdout", 1), ("stderr", 2)):
        opened = open(number, "w", encoding=encoding or "utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, stream, opened)
    sys.argv = [name, *arguments]
    code: object = 1
    try:
        _program(name, arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _program(name: str, arguments: list[str]) -> None:
    """Call what the program of this name calls."""
    if name == "dbt":
        from dbt.cli.main import cli

        cli()
    elif name == "two-tower":
        from two_tower.interfaces.cli import main

        main()
    elif arguments[0] == "-c":
        exec(arguments[1], {"__name__": "__main__"})
    else:
        assert arguments[0] == "-m"
        _benchmark(*arguments[1:])


def _benchmark(module: str, *arguments: str) -> None:
    """Run a module of this folder; the commands that it times are forks too."""
    import runpy

    os.environ[WITH_MANIFEST] = "yes"  # one reads it
    sys.path.insert(0, str(Path.cwd()))
    from benchmarks import harness

    def timed(command: list[str], env: dict[str, str]) -> harness.Timed:
        started = time.perf_counter()
        done = Forks(FOLDER).end(command, env, harness.ROOT)
        printed = done.stdout + done.stderr
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{printed[-4000:]}")
        return harness.Timed(time.perf_counter() - started, done.peak_mib, printed)

    harness.timed = timed
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    FOLDER = sys.argv[3]
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], FOLDER)
