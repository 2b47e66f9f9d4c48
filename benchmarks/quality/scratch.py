"""A project of its own in a scratch folder, walked with the very commands a team types."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import BIN, ROOT, Timed, scratch_environment, timed
from two_tower.core.settings import Settings, Target
from two_tower.database import embedded


class Scratch:
    """A data folder, a database, runs and a registry below ``folder``."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.env = scratch_environment(folder, target)
        self.settings = Settings(
            target=target,
            project_dir=ROOT,
            data_dir=folder / "raw",
            postgres_dir=folder / "pg",
            duckdb_path=folder / "warehouse.duckdb",
            runs_dir=folder / "runs",
            registry_url=str(folder / "registry"),
        )

    def two_tower(self, *arguments: str) -> Timed:
        """Run one ``two-tower`` command to its end."""
        print(f"  two-tower {' '.join(arguments)}", flush=True)
        return self._timed(arguments)

    def dbt(self, *arguments: str, **variables: Any) -> Timed:
        """Run one dbt command with vars to its end."""
        print(f"  dbt {' '.join(arguments)} {variables}", flush=True)
        return self._timed(["dbt", "--quiet", *arguments, "--vars", json.dumps(variables)])

    def _timed(self, arguments: Sequence[str]) -> Timed:
        """Say what a step took at once: hours of steps may end before the table is printed."""
        step = timed([str(BIN / "two-tower"), *arguments], self.env)
        print(f"    {step.seconds:,.0f} s, {step.peak_mib:,.0f} MiB", flush=True)
        return step


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder that is gone afterwards; its path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
    folder.chmod(0o755)  # as root the server runs as a user of its own
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(folder: Path) -> Iterator[Scratch]:
    """Yield a project on an embedded Postgres of its own, stopped and removed afterwards."""
    folder.mkdir()
    folder.chmod(0o755)
    project = Scratch(folder, "embedded")
    try:
        yield project
    finally:
        embedded.stop(project.settings)
        shutil.rmtree(folder, ignore_errors=True)
