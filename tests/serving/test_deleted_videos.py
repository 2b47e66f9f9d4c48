"""What leaves the catalogue leaves the served vectors, and those that a rollback would serve."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from conftest import CATALOGUE, PAGE, MakeDataDir
from two_tower.core.errors import DataError
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import setup

pytestmark = pytest.mark.slow

VIDEOS = [str(uuid.UUID(int=number + 1)) for number in range(6)]
SERVED = ("video_embeddings", "video_embeddings_previous")


def deliver(make_data_dir: MakeDataDir, settings: Settings, videos: list[str]) -> None:
    """Load and build a catalogue of these videos alone, without tags or people."""
    header = CATALOGUE["videos.csv"].splitlines()[0]
    rows = [f"{video},夏,,{PAGE}v{VIDEOS.index(video)}/,dmm,海,青,夏,500," for video in videos]
    catalogue = {name: text.splitlines()[0] + "\n" for name, text in CATALOGUE.items()}
    catalogue["videos.csv"] = "\n".join([header, *rows]) + "\n"
    review = f"product_url,reviewer_id,stars\n{PAGE}v0/,u1,5\n"
    make_data_dir(reviews={"dmm_reviews_1.csv": review}, catalogue=catalogue)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    dbt.run(settings, "run", "--select", "+videos")


def left(settings: Settings) -> list[set[str]]:
    with open_warehouse(settings) as warehouse:
        return [
            {str(row["id"]) for row in warehouse.fetch(f"select video_id as id from public.{name}")}
            for name in SERVED
        ]


@pytest.fixture
def served(either_settings: Settings, dbt_target: Path, make_data_dir: MakeDataDir) -> Settings:
    """Six videos in the catalogue and in both generations of the served vectors."""
    setup.prepare(either_settings)
    deliver(make_data_dir, either_settings, VIDEOS)
    vector = "[" + ", ".join(["1"] + ["0"] * (DIM - 1)) + "]"
    kind = "float[128]" if either_settings.target == "duckdb" else "extensions.halfvec(128)"
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("create schema if not exists public")
        for name in SERVED:
            warehouse.execute(f"drop table if exists public.{name}")
            warehouse.execute(f"create table public.{name} (video_id uuid, embedding {kind})")
            for video in VIDEOS:
                warehouse.execute(
                    f"insert into public.{name} values (cast(? as uuid), '{vector}')",
                    (video,),
                )
    return either_settings


def test_deleted_videos_go_also_from_what_a_rollback_would_serve_but_never_most_of_them(
    served: Settings, make_data_dir: MakeDataDir
) -> None:
    deliver(make_data_dir, served, VIDEOS[1:])
    assert left(served) == [set(VIDEOS[1:])] * 2
    whole = ("test", "--select", "assert_catalogue_is_whole")
    dbt.run(served, *whole)
    # A file that was cut off in the middle: what it lacks is served still, and nothing is trained.
    deliver(make_data_dir, served, VIDEOS[1:3])
    assert left(served) == [set(VIDEOS[1:])] * 2
    with pytest.raises(DataError, match="assert_catalogue_is_whole"):
        dbt.run(served, *whole)
