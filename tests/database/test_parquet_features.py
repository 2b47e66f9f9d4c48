"""Features that another warehouse made and handed over as Parquet, in a folder or a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import torch
from moto.server import ThreadedMotoServer

import training_tables
from two_tower.core.errors import NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.parquet_features import TABLES, open_features
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import step_cache
from two_tower.training.train import train

SMALL = TrainConfig(epochs=2, batch_size=32)
BUILT = ("feature_layout", "feature_layout_versions", "training_users", "item_feature_slots")


@pytest.fixture
def built(duckdb_settings: Settings, tmp_path: Path) -> Settings:
    """A project whose tables are also Parquet, each in two files, in `tmp_path/features`."""
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
        for table in BUILT:
            folder = tmp_path / "features" / table
            folder.mkdir(parents=True)
            for part in (0, 1):
                warehouse.execute(
                    f"copy (select * from two_tower.{table} as t qualify row_number() over () % 2"
                    f" = {part}) to '{folder}/{part}.parquet' (format parquet)"
                )
    return duckdb_settings


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="features")
    for path in (tmp_path / "features").rglob("*.parquet"):
        client.upload_file(str(path), "features", str(path.relative_to(tmp_path / "features")))
    yield {"key": "a", "secret": "b", "endpoint_url": url}
    server.stop()


def towers(settings: Settings) -> dict[str, torch.Tensor]:
    path = train(settings, SMALL).run_dir / "towers.pt"
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state"]
    return state


def elsewhere(settings: Settings, url: str, **options: object) -> Settings:
    """The same project without tables of its own."""
    changed = {"features_url": url, "features_options": options}
    path = settings.duckdb_path.with_name("empty.duckdb")
    return settings.model_copy(update={**changed, "duckdb_path": path})


def test_parquet_of_a_folder_trains_the_same_model(built: Settings, tmp_path: Path) -> None:
    expected, found = towers(built), towers(elsewhere(built, str(tmp_path / "features")))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_parquet_of_a_bucket_is_read(built: Settings, bucket: dict[str, Any]) -> None:
    with open_features(elsewhere(built, "s3://features", **bucket)) as features:
        rows = features.fetch("select count(*) as n from two_tower.training_users")
        assert rows == [{"n": training_tables.USERS}]
        assert not features.relation_exists("two_tower", "user_feature_slots")


def test_a_folder_without_features_is_named(built: Settings, tmp_path: Path) -> None:
    with (
        pytest.raises(NotEnoughDataError, match=f"no {TABLES[0]}/.*{tmp_path}"),
        open_features(elsewhere(built, str(tmp_path / "none"))),
    ):
        pass


def test_a_protocol_reads_what_was_built_for_it(built: Settings, tmp_path: Path) -> None:
    """Features of another warehouse have another split."""
    settings = elsewhere(built, str(tmp_path / "none")).model_copy(
        update={"schema_name": "two_tower_temporal", "duckdb_path": built.duckdb_path}
    )
    with open_features(settings) as features:
        assert features.schema == "two_tower_temporal"


def test_a_step_is_not_skipped_for_features_that_nobody_has_compared(
    built: Settings, tmp_path: Path
) -> None:
    assert step_cache.inputs_of(elsewhere(built, str(tmp_path)), "embed", None) is None
