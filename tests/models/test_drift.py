"""What has moved since the release that serves: rows, warnings of `dbt build`, and the status."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from two_tower.artifacts.export import export
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation.evaluate import evaluate
from two_tower.operations import setup
from two_tower.operations.status import status
from two_tower.serving.embed import embed
from two_tower.serving.release import release
from two_tower.training.train import train

pytestmark = pytest.mark.slow


def build(settings: Settings) -> dbt.Built:
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    return dbt.run(settings, "build", "--exclude-resource-type", "unit_test")


def drift(settings: Settings) -> dict[tuple[str, str], float]:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch("select feature, measure, value from two_tower.drift")
    return {(row["feature"], row["measure"]): row["value"] for row in rows}


def shift(data_dir: Path) -> None:
    """Every video gets one of 30 new tags and a hundredth of its price; a new file of reviews has
    unknown URLs."""
    path = data_dir / "catalogue/videos.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, videos = list(reader.fieldnames or ()), list(reader)
    for video in videos:
        video["price"] = str(float(video["price"] or 0) / 100)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(videos)
    with (data_dir / "catalogue/tags.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"new_{number},新しいタグ{number}\n" for number in range(30))
    with (data_dir / "catalogue/video_tags.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{video['id']},new_{number % 30}\n" for number, video in enumerate(videos))
    with (data_dir / "reviews/dmm_reviews_late.csv").open("w", encoding="utf-8") as file:
        file.write("product_url,reviewer_id,stars,reviewed_at\n")
        file.writelines(f"https://other.example/{n},someone,5,\n" for n in range(900))


def test_what_moved_since_the_release_is_a_warning(
    either_settings: Settings, dbt_target: Path
) -> None:
    settings = either_settings
    setup.prepare(settings)
    data_dir = settings.path(settings.data_dir)
    sample_data.generate(data_dir, reviews=2_000)
    first = build(settings)
    assert set(drift(settings)) == {("product_url", "unknown_share")}, "before the first release"
    version = train(settings, TrainConfig(epochs=2)).version
    evaluate(settings, version)
    export(settings, version)
    embed(settings, version)
    release(settings)

    again = build(settings)

    assert again.warnings == first.warnings
    found = drift(settings)
    measured = {feature for feature, measure in found if measure == "psi"}
    assert measured > {"like_count_30d", "tag_ids", "price", "relevant_video_ids", "cosine"}
    assert "video_id" not in measured
    assert all(value < 0.05 for (_, name), value in found.items() if name == "psi")
    assert all(value == 0 for (_, name), value in found.items() if name == "new_token_share")
    assert status(settings).drift == []

    shift(data_dir)
    moved = build(settings)

    assert len(moved.warnings) == len(first.warnings) + 1
    assert any("assert_data_have_not_drifted" in text for text in moved.warnings)
    found = drift(settings)
    assert found["price", "psi"] > 1
    assert found["like_count_30d", "psi"] < 0.05
    assert found["tag_ids", "new_token_share"] > 0.1
    assert found["performer_ids", "new_token_share"] == 0
    assert found["product_url", "unknown_share"] > 0.2
    now = status(settings)
    assert now.drift is not None
    text = "\n".join(now.drift)
    for expected in (
        "item price: psi",
        "item tag_ids: new_token_share",
        "product_url: unknown",
    ):
        assert expected in text
    assert "like_count_30d" not in text
    assert now.last_attempt is not None
    assert now.last_attempt.startswith(f"{version} passed")
    assert now.versions[0].startswith(f"{version} serving ndcg@10")
    assert now.index is not None
    assert now.index.startswith("none, 0 of")
