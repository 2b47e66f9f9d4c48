"""Disks that are full: a small tmpfs each, under the registry and under Postgres's data folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.world import HEADER, World, new_world, once, served
from two_tower.core.errors import ExitCode

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("disk")]


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of a size, mounted on a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if os.geteuid() != 0 or done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)
        folder.rmdir()


def fill(folder: Path, leave: int) -> Path:
    """Put a file onto a disk that leaves so many bytes free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave)
    return ballast


@pytest.fixture(scope="module")
def disks() -> Iterator[tuple[Path, Path]]:
    with small_disk("60m") as artifacts, small_disk("700m") as postgres:
        yield artifacts, postgres


@pytest.fixture(scope="module")
def world(disks: tuple[Path, Path]) -> Iterator[World]:
    artifacts, postgres = disks
    with new_world(registry=str(artifacts / "registry"), postgres=postgres / "pg") as made:
        made.converges()
        made.deliver()
        yield made


def test_artifacts(world: World, disks: tuple[Path, Path]) -> None:
    """The disk of the artifacts is full."""
    before = served(world.dsn)
    ballast = fill(disks[0], leave=100_000)
    trained = sorted((world.folder / "runs").iterdir())

    for command in ("doctor", "run"):
        code, printed = world.run(command)

        assert code == ExitCode.UNAVAILABLE, printed
        assert "no space left for the registry" in printed
        assert "Traceback" not in printed
        assert "trying again" not in printed
    assert sorted((world.folder / "runs").iterdir()) == trained
    world.holds(before)
    ballast.unlink()
    world.converges(before)


def test_postgres(world: World, disks: tuple[Path, Path]) -> None:
    """The disk of Postgres's data folder is full."""
    before = served(world.dsn)
    ballast = fill(disks[1], leave=3_000_000)
    page = "https://www.dmm.co.jp/digital/videoa/-/detail/=/cid=none/"
    rows = "".join(f"{page},somebody-{n % 5000},4\n" for n in range(150_000))
    large = world.folder / "raw/reviews/dmm_reviews_large.csv"
    large.write_text(HEADER + rows)

    code, printed = world.run("run", TWO_TOWER_RETRY_SECONDS="3")

    assert code == ExitCode.UNAVAILABLE, printed
    assert "Traceback" not in printed
    ballast.unlink()
    # Where its journal could not grow, the server has ended itself.
    once(world.start_postgres)
    world.holds(before)
    large.unlink()
    world.deliver()
    world.converges(before)
