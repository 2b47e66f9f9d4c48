"""The data grow under a trained model: indices stay, tokens are appended, the model reads on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from two_tower.artifacts.export import export
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.data import sample_data
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.serving.embed import embed
from two_tower.training.train import train

pytestmark = pytest.mark.slow

NEW_VIDEOS = [f"ffffffff-0000-4000-8000-00000000000{number}" for number in (1, 2)]
NEW_USERS = ["new_user_1", "new_user_2", "new_user_3", "new_user_4"]
NEW_TAG, NEW_PERFORMER, NEW_MAKER = "new_tag", "new_performer", "新しいメーカー"
# A review without a moment counts as made at as_of, so as_of and the windows stay where they are.
REVIEWED_AT = ""
SLOTS = {"user": ("user_feature_slots", "user_id"), "video": ("item_feature_slots", "video_id")}
Vocabulary = dict[tuple[str, str], int]


@dataclass
class State:
    """The feature slots and the landed vector of each user or video, by its id."""

    slots: dict[str, tuple[Any, ...]]
    vectors: dict[str, NDArray[np.float64]]


def build(settings: Settings, *arguments: str) -> None:
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    dbt.run(settings, *arguments)


def vocabulary(settings: Settings) -> Vocabulary:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch("select vocabulary, token, index from two_tower.vocabularies")
    return {(row["vocabulary"], row["token"]): row["index"] for row in rows}


def state(settings: Settings, entity: str) -> State:
    table, key = SLOTS[entity]
    with open_warehouse(settings) as warehouse:
        slots = warehouse.fetch(
            f'select cast({key} as text) as id, feature_ids, indices, "values" from'
            f" two_tower.{table}"
        )
        landed = warehouse.fetch(
            f"select cast({key} as text) as id, cast(embedding as text) as vector"
            f" from two_tower.{entity}_embeddings_landing"
        )
    return State(
        {row["id"]: (row["feature_ids"], row["indices"], row["values"]) for row in slots},
        {row["id"]: np.array(row["vector"][1:-1].split(","), dtype=float) for row in landed},
    )


def append(path: Path, rows: list[list[str]]) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def grow(data_dir: Path, retagged: str) -> None:
    """Add two videos, a tag, a performer, a maker, four users; an old video gets the new tag."""
    catalogue = data_dir / "catalogue"
    columns = header(catalogue / "videos.csv")
    pages = [f"https://www.dmm.co.jp/digital/new/{number}/" for number in (1, 2)]
    videos = [
        {"id": video, "title": "新作", "product_url": page, "maker": NEW_MAKER, "price": "1000"}
        for video, page in zip(NEW_VIDEOS, pages, strict=True)
    ]
    append(catalogue / "videos.csv", [[v.get(name, "") for name in columns] for v in videos])
    append(catalogue / "tags.csv", [[NEW_TAG, "新しいタグ"]])
    append(catalogue / "performers.csv", [[NEW_PERFORMER, "新人"]])
    append(catalogue / "video_tags.csv", [[v, NEW_TAG] for v in (*NEW_VIDEOS, retagged)])
    append(catalogue / "video_performers.csv", [[v, NEW_PERFORMER] for v in NEW_VIDEOS])
    reviews = [[page, user, "5", REVIEWED_AT] for user in NEW_USERS for page in pages]
    new_file = data_dir / "reviews" / "dmm_reviews_new.csv"
    append(new_file, [["product_url", "reviewer_id", "stars", "reviewed_at"], *reviews])


def assert_unit(vectors: dict[str, NDArray[np.float64]]) -> None:
    norms = np.linalg.norm(np.stack(list(vectors.values())), axis=1)
    assert np.allclose(norms, 1, atol=5e-3)  # what half precision keeps


def test_old_tokens_keep_their_indices_and_the_old_model_reads_the_new_features(
    either_settings: Settings, dbt_target: Path
) -> None:
    settings = either_settings
    data_dir = settings.path(settings.data_dir)
    sample_data.generate(data_dir, reviews=4_000)
    build(settings, "run")
    old_vocabulary = vocabulary(settings)
    # So many that the trained towers count: they know of everybody at least what is popular.
    result = train(settings, TrainConfig())
    assert result.share > 0
    version = result.version
    export(settings, version)
    embed(settings, version)
    old = {entity: state(settings, entity) for entity in SLOTS}
    retagged = next(iter(old["video"].slots))

    grow(data_dir, retagged)
    build(settings, "build", "--exclude-resource-type", "unit_test")

    grown = vocabulary(settings)
    assert {token: grown[token] for token in old_vocabulary} == old_vocabulary
    appended = grown.keys() - old_vocabulary.keys()
    expected = {("tag", NEW_TAG), ("performer", NEW_PERFORMER), ("maker", NEW_MAKER)}
    assert expected | {("video", video) for video in NEW_VIDEOS} <= appended
    for name, token in appended:
        size = sum(known == name for known, _ in old_vocabulary)
        assert grown[name, token] >= size, "a new token takes no place before an old one"

    embedded = embed(settings, version)
    new = {entity: state(settings, entity) for entity in SLOTS}
    assert embedded.version == version
    assert (embedded.users, embedded.videos) == (len(new["user"].slots), len(new["video"].slots))
    for entity, added in (("user", NEW_USERS), ("video", NEW_VIDEOS)):
        before, after = old[entity], new[entity]
        assert after.vectors.keys() == before.vectors.keys() | set(added)
        assert_unit(after.vectors)
        unchanged = [key for key in before.slots if after.slots[key] == before.slots[key]]
        assert len(unchanged) > 0.5 * len(before.slots)
        for key in unchanged:
            assert np.array_equal(after.vectors[key], before.vectors[key]), key
    # The tag is a feature of the old video now, and the old model does not know it.
    assert new["video"].slots[retagged] != old["video"].slots[retagged]
    assert np.array_equal(new["video"].vectors[retagged], old["video"].vectors[retagged])
