"""Two real releases of generated data: loaded, built, trained and audited as a run does."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from conftest import folders, make_settings
from postgres_server import PostgresServer
from two_tower.artifacts.export import export
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.data import sample_data
from two_tower.evaluation.evaluate import evaluate
from two_tower.operations import pipeline, setup
from two_tower.serving.embed import embed
from two_tower.serving.release import release
from two_tower.training.train import train

# Titles as whoever fills a catalogue may write them.
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&amp;{title}'
FOREIGN = "https://pictures.example/1.jpg"


def make_released(server: PostgresServer, database: str, folder: Path) -> Settings:
    """Return the settings of a database with two releases.

    Its most popular video has a hostile title, a picture on another host, and no page but a script.
    """
    settings = make_settings("postgres", database_url=server.prepare(database), **folders(folder))
    setup.prepare(settings)
    sample_data.generate(settings.path(settings.data_dir), reviews=3_000)
    # A hundred people are too few to choose a penalty by.
    first = settings.model_copy(update={"train": TrainConfig(epochs=4, seed=0, ridge=5.0)})
    pipeline.run(first, pipeline.run_step, {})
    version = train(settings, TrainConfig(epochs=4, seed=1, ridge=8.0)).version
    evaluate(settings, version)
    export(settings, version)
    embed(settings, version)
    assert release(settings).swapped
    with connect(settings) as connection:
        connection.execute(
            "update two_tower.videos set title = %s, thumbnail_url = %s, product_url = %s"
            " where video_id = %s",
            (HOSTILE, FOREIGN, "javascript:window.hacked=1", popular(settings)[0]),
        )
    return settings


def connect(settings: Settings) -> psycopg.Connection[dict[str, object]]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def popular(settings: Settings, count: int = 1) -> list[str]:
    """The most popular videos."""
    with connect(settings) as connection:
        rows = connection.execute(
            "select video_id::text as id from two_tower.popularity"
            " order by popularity_rank limit %s",
            (count,),
        ).fetchall()
    return [str(row["id"]) for row in rows]


def reader(settings: Settings) -> str:
    """Somebody who has reviewed a lot."""
    with connect(settings) as connection:
        row = connection.execute(
            "select user_id from two_tower.users order by review_count desc, user_id limit 1"
        ).fetchone()
    assert row is not None
    return str(row["user_id"])
