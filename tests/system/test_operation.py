"""An installation as a team has one, and the lines that the documentation prints, typed in it.

A plain role on a Postgres over TCP, its URL in `.env`, and a shell that has nothing of ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import PROJECT_DIR
from faults.world import copy_project
from postgres_server import PostgresServer, running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("operation")]

VENV = Path(os.environ.get("VIRTUAL_ENV", PROJECT_DIR / ".venv"))
ASKED = "r00364274"  # in the documentation's examples, and in small samples


@dataclass
class Site:
    """A project's folder, with its `.env`."""

    folder: Path
    server: PostgresServer
    database: str

    @property
    def url(self) -> str:
        return self.server.dsn(self.database)

    def configure(self) -> None:
        settings = {"TARGET": "postgres", "TRAIN__EPOCHS": "4", "RETRY_SECONDS": "30"}
        lines = [f"TWO_TOWER_{name}={value}" for name, value in settings.items()]
        (self.folder / ".env").write_text("\n".join([*lines, f"DATABASE_URL={self.url}", ""]))

    def type(self, lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Type some lines into a shell of somebody who has just logged in."""
        path = f"{self.server.bin_dir}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=self.folder,
            env={"PATH": path, "HOME": str(self.folder), "DO_NOT_TRACK": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def typed(self, lines: str, **environment: str) -> str:
        """Type some lines that do well, and return what they print on stdout."""
        done = self.type(lines, **environment)
        assert done.returncode == 0, f"{lines}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def answers(self) -> list[tuple[Any, ...]]:
        """What the app gets, for somebody known, somebody unknown, and of a video."""
        asked = (f"recommend_videos('{ASKED}')", "recommend_videos('nobody')")
        with psycopg.connect(self.url) as connection:
            found = [connection.execute(f"select * from {call}").fetchall() for call in asked]
            video = found[0][0][0]
            similar = connection.execute("select * from similar_videos(%s)", (video,)).fetchall()
        return [*found, similar]

    def rows(self) -> dict[str, int]:
        tables = (
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_schema in ('raw', 'two_tower', 'public') and table_type = 'BASE TABLE'"
        )
        with psycopg.connect(self.url) as connection:
            names = [row[0] for row in connection.execute(tables)]
            return {
                name: connection.execute(f"select count(*) from {name}").fetchall()[0][0]
                for name in names
            }


def blocks(page: str, heading: str = "") -> list[str]:
    """The lines of a page that are to be typed, below a heading."""
    text = (PROJECT_DIR / page).read_text(encoding="utf-8")
    part = text.split(f"\n{heading}\n", 1)[1].split("\n## ")[0] if heading else text
    return re.findall(r"```sh\n(.*?)```", part, re.DOTALL)


def new_site(server: PostgresServer, folder: Path, database: str) -> Site:
    copy_project(folder)
    (folder / ".venv").symlink_to(VENV)
    shutil.copytree(
        PROJECT_DIR / "examples",
        folder / "examples",
        ignore=shutil.ignore_patterns("node_modules"),
    )
    server.prepare(database)
    site = Site(folder, server, database)
    site.configure()
    return site


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        yield started


@pytest.fixture(scope="module")
def run_log() -> list[str]:
    """The lines that the first run has logged; see `site`."""
    return []


@pytest.fixture(scope="module")
def site(
    server: PostgresServer, run_log: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """An installation after its first run, whose log was JSON."""
    made = new_site(server, tmp_path_factory.mktemp("site") / "project", "site")
    made.typed(".venv/bin/two-tower sample-data --reviews 2000")
    done = made.type(".venv/bin/two-tower run", TWO_TOWER_LOG_FORMAT="json")
    assert done.returncode == 0, done.stderr[-4000:]
    run_log += (done.stdout + done.stderr).splitlines()
    return made


def test_the_log_of_a_whole_run_is_json_line_by_line(site: Site, run_log: list[str]) -> None:
    records = [json.loads(line) for line in run_log]

    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, records))
    steps = [record["step"] for record in records if "step" in record]
    assert steps == ["load", "build", "train", "evaluate", "export", "embed", "release"]


def test_a_monitor_finds_a_project_well_that_has_just_released(site: Site) -> None:
    done = site.type(".venv/bin/two-tower status --check")

    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("two-tower OK: ")
    assert "CRITICAL" not in done.stdout


def test_the_metrics_are_those_of_the_database(site: Site) -> None:
    printed = site.typed(".venv/bin/two-tower status --prometheus -")

    rows = site.rows()
    found = {
        (sample.name, sample.labels.get("table")): sample.value
        for family in text_string_to_metric_families(printed)
        for sample in family.samples
    }
    assert found["two_tower_up", None] == found["two_tower_answers", None] == 1
    for table in ("raw.reviews", "raw.rejected_reviews", "public.video_embeddings"):
        assert found["two_tower_rows", table] == rows[table]
    total = rows["raw.reviews"] + rows["raw.rejected_reviews"]
    assert found["two_tower_rejected_share", None] == rows["raw.rejected_reviews"] / total


def test_the_examples_can_be_typed_as_they_are_printed(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All but the last lines, which need a Supabase, and the first: the URL is of this server."""
    (block,) = blocks("examples/README.md")
    connect, python, psql, build, node = block.splitlines()
    assert connect == 'export DATABASE_URL="$(.venv/bin/two-tower db start)"'
    assert "npm ci && npm run build" in build
    assert "npm ci && node recommend.ts" in node

    printed = site.typed(python, DATABASE_URL=site.url)
    assert len(printed.splitlines()) == 5
    assert printed.startswith("  1  ")
    assert "rows)" in site.typed(psql, DATABASE_URL=site.url)


def test_a_backup_is_restored_and_answers_and_runs_on(
    site: Site, server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, rows = site.answers(), site.rows()
    connect, backup = blocks("docs/backup.md", "## Back up")
    assert connect.startswith("export DATABASE_URL=")
    restore, go_on = blocks("docs/backup.md", "## Restore")
    site.typed(backup, DATABASE_URL=site.url)

    other = new_site(server, tmp_path_factory.mktemp("other") / "project", "restored")
    shutil.copytree(site.folder / "backup", other.folder / "backup")
    other.typed(restore, NEW_DATABASE_URL=other.url)
    other.configure()

    assert other.answers() == before
    assert other.rows() == rows
    files = sorted((other.folder / "data/raw/reviews").glob("*.csv"))
    page = re.findall(r"https://[^,#?\s]+", files[0].read_text(encoding="utf-8"))[0]
    new = other.folder / "data/raw/reviews/dmm_reviews_new.csv"
    new.write_text(f"product_url,reviewer_id,stars\n{page},somebody-new,5\n", encoding="utf-8")
    other.typed(go_on)
    with psycopg.connect(other.url) as connection:
        [[releases]] = connection.execute("select count(*) from two_tower.model_releases")
        [[known]] = connection.execute(
            "select count(*) from public.user_embeddings where user_id = 'somebody-new'"
        )
    assert (releases, known) == (2, 1)
    assert site.answers() == before
