"""Too little to learn from: no traceback, no index, and what is popular, if anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from conftest import CATALOGUE, PAGE, VIDEOS, MakeDataDir, environment
from two_tower.core.settings import Settings
from two_tower.operations import setup

pytestmark = [pytest.mark.faults, pytest.mark.slow]

HEADER = "product_url,reviewer_id,stars,reviewed_at\n"


def run(settings: Settings, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`two-tower run` as a person or cron starts it."""
    return subprocess.run(
        [Path(sys.executable).parent / "two-tower", "run"],
        env=environment(settings),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def check(settings: Settings, dsn: str, tmp_path: Path, expected: list[str], runs: int = 1) -> None:
    """The run ends well, also the second time; whoever asks gets these videos."""
    setup.prepare(settings)
    for _ in range(runs):
        done = run(settings, tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "not enough data" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    with psycopg.connect(dsn, autocommit=True) as connection:
        for user in ("u1", "nobody"):
            rows = connection.execute(
                "select video_id::text from public.recommend_videos(%s, 5)", (user,)
            ).fetchall()
            assert [row[0] for row in rows][: len(expected)] == expected, user
            assert len(rows) == len(expected)
        indexes = connection.execute(
            "select indexname from pg_indexes where schemaname = 'public'"
            " and indexname like 'idx_%%_cosine%%'"
        ).fetchall()
    assert indexes == []


def catalogue_of(videos: int) -> dict[str, str]:
    """The catalogue of the tests cut down to its first videos, without people or tags."""
    lines = CATALOGUE["videos.csv"].splitlines(keepends=True)
    return {
        name: "".join(lines[: videos + 1]) if name == "videos.csv" else text.split("\n")[0] + "\n"
        for name, text in CATALOGUE.items()
    }


def test_empty_database(
    clean_postgres: Settings,
    postgres_dsn: str,
    make_data_dir: MakeDataDir,
    tmp_path: Path,
    dbt_target: Path,
) -> None:
    """an empty database: no review, no video"""
    make_data_dir(reviews={"dmm_reviews_1.csv": HEADER}, catalogue=catalogue_of(0))
    check(clean_postgres, postgres_dsn, tmp_path, [])


def test_one_user(
    clean_postgres: Settings,
    postgres_dsn: str,
    make_data_dir: MakeDataDir,
    tmp_path: Path,
    dbt_target: Path,
) -> None:
    """one user with one review"""
    review = f"{PAGE}abc002/,someone,5,2024-08-01T10:00:00Z\n"
    make_data_dir(reviews={"dmm_reviews_1.csv": HEADER + review}, catalogue=catalogue_of(2))
    check(clean_postgres, postgres_dsn, tmp_path, [VIDEOS[1], VIDEOS[0]])


def test_one_video(
    clean_postgres: Settings,
    postgres_dsn: str,
    make_data_dir: MakeDataDir,
    tmp_path: Path,
    dbt_target: Path,
) -> None:
    """one video, which everybody likes"""
    reviews = "".join(f"{PAGE}abc001/,user {number},5,2024-08-01\n" for number in range(40))
    make_data_dir(reviews={"dmm_reviews_1.csv": HEADER + reviews}, catalogue=catalogue_of(1))
    check(clean_postgres, postgres_dsn, tmp_path, [VIDEOS[0]])


def test_no_positives(
    clean_postgres: Settings,
    postgres_dsn: str,
    make_data_dir: MakeDataDir,
    tmp_path: Path,
    dbt_target: Path,
) -> None:
    """nobody likes anything"""
    reviews = "".join(
        f"{PAGE}abc00{1 + video}/,user {number},2,2024-08-01\n"
        for number in range(40)
        for video in range(2)
    )
    make_data_dir(reviews={"dmm_reviews_1.csv": HEADER + reviews}, catalogue=catalogue_of(2))
    check(clean_postgres, postgres_dsn, tmp_path, [VIDEOS[0], VIDEOS[1]], runs=2)
