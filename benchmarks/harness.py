"""What the benchmarks share: timed subprocesses, a scratch project, results as table and JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Figure:
    """One stage at one size, with the limit measured in the same run."""

    size: int
    stage: str
    rows: int
    seconds: float
    peak_mib: float | None
    limit: str = ""
    limit_seconds: float | None = None

    @property
    def ratio(self) -> float | None:
        """Our figure as a multiple of the limit."""
        return self.seconds / self.limit_seconds if self.limit_seconds else None


@dataclass(frozen=True)
class Timed:
    """A finished subprocess: wall seconds, peak memory of the largest process, its output."""

    seconds: float
    peak_mib: float
    output: str


def result_file(name: str) -> Path:
    """Return the path of a result; its folder is created."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / name


def timed(command: list[str], env: dict[str, str]) -> Timed:
    """Run a command to its end; if it fails, show its output and exit."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output[-4000:]}")
    return Timed(time.perf_counter() - started, usage.ru_maxrss / 1024, output)


def scratch_environment(folder: Path, target: str) -> dict[str, str]:
    """Return an environment with all paths of the project below ``folder``."""
    path = os.pathsep.join(filter(None, [str(ROOT / "python"), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "TWO_TOWER_TARGET": target,
        "TWO_TOWER_PROJECT_DIR": str(ROOT),
        "TWO_TOWER_DATA_DIR": str(folder / "raw"),
        "TWO_TOWER_POSTGRES_DIR": str(folder / "pg"),
        "TWO_TOWER_DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "TWO_TOWER_RUNS_DIR": str(folder / "runs"),
        "TWO_TOWER_REGISTRY_URL": str(folder / "registry"),
        "DBT_TARGET_PATH": str(folder / f"target-{target}"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "PYTHONPATH": path,
    }


def report(name: str, figures: list[Figure], **tables: list[dict[str, object]]) -> Path:
    """Print the figures and other tables, and write them as JSON; return the file."""
    table = Table(title=name, title_justify="left")
    for column in ("size", "stage", "seconds", "rows/s", "peak MiB", "limit", "limit s", "ratio"):
        table.add_column(column, justify="left" if column in ("stage", "limit") else "right")
    for figure in figures:
        table.add_row(
            f"{figure.size:,}",
            figure.stage,
            f"{figure.seconds:.4g}",
            f"{figure.rows / figure.seconds:,.0f}",
            "" if figure.peak_mib is None else f"{figure.peak_mib:,.0f}",
            figure.limit,
            "" if figure.limit_seconds is None else f"{figure.limit_seconds:.4g}",
            "" if figure.ratio is None else f"{figure.ratio:.1f}",
        )
    console = Console(width=160)
    if figures:
        console.print(table)
    for title, rows in tables.items():
        if not rows:
            continue
        other = Table(*rows[0], title=title, title_justify="left")
        for row in rows:
            other.add_row(
                *(
                    "" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v)
                    for v in row.values()
                )
            )
        console.print(other)
    path = result_file(f"{name}.json")
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
        **tables,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"written to {path.relative_to(ROOT)}")
    return path
