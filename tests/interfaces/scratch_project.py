"""A checkout of the project in a folder of its own, as a clone is after `make setup`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import PROJECT_DIR, make_settings
from two_tower.database import embedded

FILES = (
    "Makefile",
    "automations.yaml",
    "constraints.txt",
    "dbt_project.yml",
    "prefect.yaml",
    "profiles.yml.example",
    "pyproject.toml",
    "selectors.yml",
)
FOLDERS = ("flows", "macros", "models", "sql", "tests/dbt")


@contextmanager
def scratch_project() -> Iterator[Path]:
    """A copy of what a run reads, in a folder that is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="tt-", dir="/tmp")).resolve()
    folder.chmod(0o755)  # as root the embedded server runs as a user of its own
    try:
        for name in FILES:
            shutil.copyfile(PROJECT_DIR / name, folder / name)
        for name in ("pyproject.toml", "constraints.txt"):
            os.utime(folder / name, (0, 0))  # for make, older than the environment
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT_DIR / name, folder / name, ignore=ignored)
        shutil.copyfile(folder / "profiles.yml.example", folder / "profiles.yml")
        (folder / ".venv").symlink_to(sys.prefix)
        yield folder
    finally:
        embedded.stop(make_settings("embedded", postgres_dir=folder / "data" / "postgres"))
        shutil.rmtree(folder, ignore_errors=True)
