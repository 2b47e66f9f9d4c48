"""What there is to learn is gone when reviews are dealt out anew: then nothing may be found."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from conftest import folders, make_settings
from two_tower.core.train_config import TrainConfig
from two_tower.data import sample_data
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation.evaluate import evaluate
from two_tower.operations import setup
from two_tower.training.train import train

METRICS = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr")


def deal_anew(folder: Path) -> None:
    """Give every review the video and the stars of another one: only popularity is left."""
    paths = sorted(folder.glob("*.csv"))
    sheets = []
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sheets.append(list(csv.DictReader(file)))
    rows = [row for sheet in sheets for row in sheet]
    dealt = [(row["product_url"], row["stars"]) for row in rows]
    random.Random(0).shuffle(dealt)
    for row, (url, stars) in zip(rows, dealt, strict=True):
        row["product_url"], row["stars"] = url, stars
    for path, sheet in zip(paths, sheets, strict=True):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(
                file, [name for name in sheet[0] if name], extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(sheet)


@pytest.mark.slow
def test_labels_shuffled_every_metric_falls_to_popularity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same data as it was is found far better: the fall is the shuffling's."""
    found = {}
    for name in ("as it was", "shuffled"):
        settings = make_settings(
            "duckdb", duckdb_path=tmp_path / f"{name}.duckdb", **folders(tmp_path / name)
        )
        monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / f"target {name}"))
        setup.prepare(settings)
        raw = settings.path(settings.data_dir)
        sample_data.generate(raw, reviews=10_000)
        if name == "shuffled":
            deal_anew(raw / "reviews")
        with open_warehouse(settings) as warehouse:
            ddl.ensure_all(warehouse)
        dbt.run(settings, "run", "--exclude", "tag:release")
        train(settings, TrainConfig(epochs=8))
        metrics = evaluate(settings).metrics
        found[name] = {model: metrics[model]["overall"] for model in ("two_tower", "popularity")}
    for metric in METRICS:
        learned, dealt = found["as it was"], found["shuffled"]
        assert learned["two_tower"][metric] > 1.2 * learned["popularity"][metric]
        assert dealt["two_tower"][metric] <= dealt["popularity"][metric]
