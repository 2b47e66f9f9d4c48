"""The serving model measured again beside a new one, on what neither was trained on."""

from __future__ import annotations

import json

import pytest
import torch

import planted
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.evaluation.evaluate import evaluate

SERVING, NEW = planted.VERSION, "20260102_000000"
RELEASED = """
create table two_tower.model_releases (release_id bigint, version text);
insert into two_tower.model_releases values (1, '{version}')
"""


@pytest.fixture
def settings(either_settings: Settings) -> Settings:
    """The planted model serves, though no registry has it, and one of random weights is new."""
    planted.build(either_settings)
    run = planted.write_run(either_settings, NEW)
    payload = torch.load(run / "towers.pt", weights_only=True)
    for weight in payload["state"].values():
        weight.normal_(generator=torch.Generator().manual_seed(8))
    torch.save(payload, run / "towers.pt")
    with open_warehouse(either_settings) as warehouse:
        ddl.ensure_evaluation(warehouse)
        for statement in RELEASED.format(version=SERVING).split(";"):
            warehouse.execute(statement)
    return either_settings


def trained_here(settings: Settings, version: str) -> None:
    """Say of a run what `train` does: how much it was trained on."""
    with open_warehouse(settings) as warehouse:
        counts = warehouse.fetch(
            "select count(*) as items, sum(train_review_count) as reviews"
            " from two_tower.evaluation_items"
        )[0]
    path = settings.path(settings.runs_dir) / version / "result.json"
    path.write_text(json.dumps({name: int(value) for name, value in counts.items()}))


def comparison(warehouse: Warehouse, name: str = "overall") -> dict[str, float]:
    rows = warehouse.fetch(
        "select * from two_tower.evaluation_comparisons"
        f" where run_id = '{NEW}' and baseline = 'serving' and metric = 'recall@20'"
        f" and slice = '{name}'"
    )
    return rows[0] if rows else {}


def test_the_serving_model_is_measured_beside_the_new_one(settings: Settings) -> None:
    result = evaluate(settings, NEW)
    with open_warehouse(settings) as warehouse:
        row = comparison(warehouse)
        (run,) = warehouse.fetch(f"select * from two_tower.evaluation_runs where run_id = '{NEW}'")
        slices = warehouse.fetch(
            "select distinct slice from two_tower.evaluation_comparisons where baseline = 'serving'"
        )
    assert (row["baseline_version"], row["users"]) == (SERVING, planted.USERS)
    assert row["value"] == pytest.approx(result.metrics["two_tower"]["overall"]["recall@20"])
    assert row["baseline_value"] == pytest.approx(1.0)
    assert row["difference"] == pytest.approx(row["value"] - row["baseline_value"])
    assert row["lower"] < row["difference"] < row["upper"] < 0
    assert (run["serving_version"], run["serving_state"]) == (SERVING, "compared")
    assert "not recorded" in run["serving_note"]
    expected = {"overall", "new_users", "light_users", "tail_items", "cold_items"}
    assert {found["slice"] for found in slices} == expected


def test_what_the_serving_model_was_trained_on_is_no_target_and_not_ranked(
    settings: Settings,
) -> None:
    trained_here(settings, SERVING)
    with open_warehouse(settings) as warehouse:
        # The serving model was trained before the split moved: two users' targets were among it.
        moved = [planted.user_id(number) for number in (3, 4)]
        targets = warehouse.fetch(
            "select user_id, target_item_numbers from two_tower.evaluation_users"
            f" where user_id in ('{moved[0]}', '{moved[1]}') order by user_id"
        )
        (all_of, some_of) = (row["target_item_numbers"] for row in targets)
        for user, numbers in zip(moved, (all_of, some_of[:1]), strict=True):
            warehouse.execute(
                "update two_tower.training_users set item_numbers = ?, labels = ?"
                " where user_id = ?",
                (numbers, [1] * len(numbers), user),
            )
        read = "select user_id, item_numbers from two_tower.training_users"
        before = warehouse.fetch(read)
    evaluate(settings, SERVING)  # records what it was trained on
    with open_warehouse(settings) as warehouse:
        recorded = warehouse.fetch(
            "select user_id, video_ids from two_tower.evaluation_training"
            f" where run_id = '{SERVING}'"
        )
        assert {row["user_id"]: sorted(str(v) for v in row["video_ids"]) for row in recorded} == {
            row["user_id"]: sorted(planted.video_id(n) for n in row["item_numbers"])
            for row in before
        }
    evaluate(settings, NEW)
    with open_warehouse(settings) as warehouse:
        row = comparison(warehouse)
        (run,) = warehouse.fetch(
            f"select serving_note from two_tower.evaluation_runs where run_id = '{NEW}'"
        )
    assert row["users"] == planted.USERS - 1  # of the first of the two nothing is left
    assert run["serving_note"] == ""


def test_a_record_of_another_build_is_not_made_and_not_lost(settings: Settings) -> None:
    def recorded() -> int:
        with open_warehouse(settings) as warehouse:
            rows = warehouse.fetch("select count(*) as n from two_tower.evaluation_training")
        return int(rows[0]["n"])

    evaluate(settings, SERVING)
    assert recorded() == 0, "a run that does not say what it was trained on"
    trained_here(settings, SERVING)
    evaluate(settings, SERVING)
    assert recorded() == planted.USERS
    with open_warehouse(settings) as warehouse:
        warehouse.execute(
            "update two_tower.evaluation_items set train_review_count = 0 where item_number = 1"
        )
    evaluate(settings, SERVING)
    assert recorded() == planted.USERS


def test_a_serving_model_of_other_features_or_without_a_file_is_said(settings: Settings) -> None:
    def state() -> tuple[str, str]:
        evaluate(settings, NEW)
        with open_warehouse(settings) as warehouse:
            assert comparison(warehouse) == {}
            (run,) = warehouse.fetch(
                "select serving_state, serving_note from two_tower.evaluation_runs"
                f" where run_id = '{NEW}'"
            )
        return run["serving_state"], run["serving_note"]

    path = settings.path(settings.runs_dir) / SERVING / "towers.pt"
    payload = torch.load(path, weights_only=True)
    payload["layout"]["layout_hash"] = "another"
    torch.save(payload, path)
    assert state()[0] == "other_layout"
    path.unlink()
    found, note = state()
    assert found == "unreadable"
    assert SERVING in note
    assert not Registry(settings).versions()
