"""Evaluation from tables to report, on both engines."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

import planted
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation.compare_runs import compare
from two_tower.evaluation.evaluate import evaluate
from two_tower.evaluation.serving_baseline import UNRECORDED
from two_tower.evaluation.user_metrics import FILE
from two_tower.operations import run_page
from two_tower.operations.pipeline import STEPS

ACCURACY = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr")


def test_the_planted_model_is_measured_and_beats_the_baselines(either_settings: Settings) -> None:
    run = planted.build(either_settings)
    result = evaluate(either_settings)
    assert (result.version, result.split) == (planted.VERSION, "random")
    assert result.users == planted.USERS
    overall = {model: slices["overall"] for model, slices in result.metrics.items()}
    # A user's group has 20 videos of which at most 5 are seen: the targets are among the first 20.
    assert overall["two_tower"]["recall@20"] == pytest.approx(1.0)
    for metric in ACCURACY:
        assert overall["two_tower"][metric] > overall["popularity"][metric]
    for model in ("popularity", "item_knn"):
        assert 0 < overall[model]["ndcg@100"] < 1
    assert set(result.metrics["two_tower"]) == {
        "overall",
        *(f"{part}_users" for part in ("new", "light", "heavy")),
        *(f"{part}_items" for part in ("head", "tail", "cold")),
    }
    # The towers find cold videos, which nobody liked in training; popularity puts them last.
    cold = {model: slices["cold_items"]["recall@20"] for model, slices in result.metrics.items()}
    assert cold["two_tower"] == pytest.approx(1.0)
    assert cold["popularity"] == 0.0
    assert json.loads((run / "metrics.json").read_text())["metrics"] == result.metrics


def test_rows_in_the_database_are_those_of_the_result_and_written_once(
    either_settings: Settings,
) -> None:
    planted.build(either_settings)
    evaluate(either_settings)
    result = evaluate(either_settings, planted.VERSION)
    with open_warehouse(either_settings) as warehouse:
        runs = warehouse.fetch("select * from two_tower.evaluation_runs")
        rows = warehouse.fetch("select * from two_tower.evaluation_metrics")
    assert len(runs) == 1
    assert runs[0]["run_id"] == planted.VERSION
    assert runs[0]["layout_hash"] == planted.HASH
    assert (runs[0]["users"], runs[0]["videos"]) == (planted.USERS, planted.VIDEOS)
    assert json.loads(runs[0]["config"])["loss"] == "softmax"
    assert (runs[0]["split"], runs[0]["protocol"]) == ("random", None)
    assert runs[0]["split_seed"] == "planted"
    found = {(row["model"], row["slice"], row["metric"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    assert found == {
        (model, name, metric): value
        for model, slices in result.metrics.items()
        for name, metrics in slices.items()
        for metric, value in metrics.items()
    }
    assert {
        (row["model"], row["slice"], row["metric"]): (row["lower"], row["upper"])
        for row in rows
        if row["lower"] is not None
    } == {
        (model, name, metric): bounds
        for model, slices in result.intervals.items()
        for name, metrics in slices.items()
        for metric, bounds in metrics.items()
    }
    users = {row["slice"]: row["users"] for row in rows}
    assert users["overall"] == planted.USERS
    assert users["new_users"] == planted.USERS // 3


def test_a_failed_write_leaves_the_rows_of_before(
    either_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.build(either_settings)
    evaluate(either_settings)
    with open_warehouse(either_settings) as warehouse:
        before = warehouse.fetch("select count(*) as n from two_tower.evaluation_metrics")
        execute = type(warehouse).execute

    def failing(self: object, sql: str, params: tuple = ()) -> None:
        if "insert into two_tower.evaluation_metrics" in sql:
            raise RuntimeError("the connection was lost")
        execute(self, sql, params)  # type: ignore[arg-type]

    monkeypatch.setattr(type(warehouse), "execute", failing)
    with pytest.raises(RuntimeError):
        evaluate(either_settings)
    monkeypatch.undo()
    with open_warehouse(either_settings) as warehouse:
        assert warehouse.fetch("select count(*) as n from two_tower.evaluation_metrics") == before


class References(HTMLParser):
    """Collects what a page would fetch, and checks that its elements are closed."""

    void = frozenset({"meta", "link", "br", "img", "use", "path", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in self.void:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset") and not value.startswith("#"):
                self.fetched.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def test_the_report_is_one_file_with_plots_and_figures(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    oracle = {"oracle": {"recall@20": 1.0, "mrr": 0.5}, "protocol": "…"}
    data_dir = duckdb_settings.path(duckdb_settings.data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "oracle.json").write_text(json.dumps(oracle))
    result = evaluate(duckdb_settings)
    text = result.report.read_text(encoding="utf-8")
    page = References()
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert text.count("<svg") == 5
    assert "#01010" not in text  # no stand-in colour is left
    for value in result.metrics["two_tower"]["overall"].values():
        assert value is None or f"{value:.4f}" in text or f"{value:+.2f}" in text
    lower, upper = result.intervals["item_knn"]["overall"]["ndcg@10"]
    assert f"{lower:.4f}–{upper:.4f}" in text
    assert "100 % of the oracle" in text
    assert "softmax" in text


def test_what_is_missing_is_said(duckdb_settings: Settings) -> None:
    with pytest.raises(NotEnoughDataError, match="no trained model"):
        evaluate(duckdb_settings)
    planted.write_run(duckdb_settings, planted.VERSION)
    with pytest.raises(NotEnoughDataError, match="does not exist") as raised:
        evaluate(duckdb_settings)
    assert "dbt build" in raised.value.hint
    with pytest.raises(InputError, match="20200101_000000"):
        evaluate(duckdb_settings, "20200101_000000")


def test_no_held_out_user_is_not_enough_data(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    with open_warehouse(duckdb_settings) as warehouse:
        warehouse.execute("delete from two_tower.evaluation_users")
    with pytest.raises(NotEnoughDataError, match="no user has a held-out like"):
        evaluate(duckdb_settings)


def test_a_model_of_other_features_is_refused(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    with open_warehouse(duckdb_settings) as warehouse:
        for table in ("feature_layout", "feature_layout_versions"):
            warehouse.execute(f"update two_tower.{table} set layout_hash = 'another'")
    with pytest.raises(InputError, match="was trained on other features"):
        evaluate(duckdb_settings)


def test_small_batches_give_the_same_figures(
    duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.build(duckdb_settings)
    whole = evaluate(duckdb_settings).metrics
    monkeypatch.setattr("two_tower.evaluation.held_out.SCORE_CELLS", planted.VIDEOS * 7)
    for model, slices in evaluate(duckdb_settings).metrics.items():
        for name, metrics in slices.items():
            assert metrics == pytest.approx(whole[model][name])


def test_cold_videos_are_also_ranked_among_themselves(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    with open_warehouse(duckdb_settings) as warehouse:
        warehouse.execute("update two_tower.int_as_of set split_strategy = 'cold_items'")
        for user in range(planted.USERS):
            first = planted.VIDEOS - 8 + planted.group(user)
            warehouse.execute(
                "update two_tower.evaluation_users set target_item_numbers = ? where user_id = ?",
                ([first, first + planted.GROUPS], planted.user_id(user)),
            )
    result = evaluate(duckdb_settings)
    among = result.metrics["two_tower"]["among_cold_items"]
    # Eight videos are cold, two of each group; against the others theirs have no rival either.
    assert among["recall@20"] == 1.0
    assert among["mrr"] == pytest.approx(1.0)
    assert among["coverage"] == 1.0
    assert result.metrics["popularity"]["among_cold_items"]["mrr"] < 0.9
    assert result.users == planted.USERS
    assert "Among cold items" in result.report.read_text()


def test_cold_users_are_encoded_by_the_likes_they_show(either_settings: Settings) -> None:
    planted.build(either_settings)
    with open_warehouse(either_settings) as warehouse:
        for user in range(planted.USERS):
            mine = [v for v in range(planted.VIDEOS - 8) if planted.group(v) == planted.group(user)]
            # One like is of another group: a model that sees it alone is led astray.
            for count, shown in ((1, [mine[0] + 1]), (3, [mine[0] + 1, *mine[:2]])):
                row = ([2] * count, sorted(shown), [1.0] * count, sorted(shown))
                user_id = planted.user_id(user)
                planted.insert(warehouse, "evaluation_cold_users", user_id, count, *row)
    result = evaluate(either_settings)
    assert set(result.metrics["two_tower"]) == {"1_like", "3_likes"}
    assert result.users == planted.USERS
    for model in ("two_tower", "item_knn"):
        slices = result.metrics[model]
        assert slices["1_like"]["recall@20"] < 0.2 < 0.6 < slices["3_likes"]["recall@20"]
    popular = result.metrics["popularity"]
    assert popular["1_like"]["ndcg@100"] == popular["3_likes"]["ndcg@100"]
    text = result.report.read_text()
    assert text.count("<svg") == 4
    assert "by how many of their likes" in text


def build_with_categories(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted world, whose people say their group; every tenth says nothing."""
    layout = [*planted.LAYOUT, (6, "user", "said", "profile", 3, "said", planted.GROUPS)]
    monkeypatch.setattr(planted, "LAYOUT", layout)
    planted.build(settings)
    with open_warehouse(settings) as warehouse:
        for user in range(planted.USERS):
            if user % 10 == 9:
                continue
            for table in ("training_users", "training_user_feature_slots"):
                warehouse.execute(
                    f"update two_tower.{table} set feature_ids = array_append(feature_ids,"
                    f" 6::smallint), indices = array_append(indices, {planted.group(user)}),"
                    ' "values" = array_append("values", 1::real) where user_id = ?',
                    (planted.user_id(user),),
                )


def test_a_first_visit_is_measured_beside_popularity_by_segment(
    either_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with_categories(either_settings, monkeypatch)
    with open_warehouse(either_settings) as warehouse:
        for user in range(planted.USERS):
            own = ([6], [planted.group(user)], [1.0]) if user % 10 != 9 else ([], [], [])
            like = planted.group(user)
            one = ([*own[0], 2], [*own[1], like], [*own[2], 1.0])
            for count, row, shown in ((0, own, []), (1, one, [like])):
                user_id = planted.user_id(user)
                planted.insert(warehouse, "evaluation_cold_users", user_id, count, *row, shown)
    result = evaluate(either_settings)
    assert list(result.metrics) == ["two_tower", "popularity", "item_knn", "segment_popularity"]
    assert [set(found) for found in result.metrics.values()] == [{"0_likes", "1_like"}] * 4
    first = {model: slices["0_likes"]["ndcg@100"] for model, slices in result.metrics.items()}
    # Who has liked nothing has no neighbours; who says a group has the videos of it.
    assert first["item_knn"] == first["popularity"]
    assert first["segment_popularity"] > first["popularity"] + 0.2
    assert first["two_tower"] > first["popularity"] + 0.2
    again = result.metrics["segment_popularity"]["1_like"]["ndcg@100"]
    assert again == pytest.approx(first["segment_popularity"])
    text = result.report.read_text()
    assert "by segment" in text
    assert "0 likes" in text
    assert "#07070" not in text  # no stand-in colour is left
    with open_warehouse(either_settings) as warehouse:
        found = warehouse.fetch(
            "select model, slice from two_tower.evaluation_metrics where metric = 'ndcg@100'"
        )
    assert {(row["model"], row["slice"]) for row in found} >= {("segment_popularity", "0_likes")}


def test_people_without_categories_have_popularity(
    duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with_categories(duckdb_settings, monkeypatch)
    with open_warehouse(duckdb_settings) as warehouse:
        warehouse.execute("delete from two_tower.evaluation_users where user_id not like '%9'")
    found = evaluate(duckdb_settings).metrics
    assert found["segment_popularity"]["overall"] == found["popularity"]["overall"]


def worse(settings: Settings, version: str, noise: float) -> None:
    """Write a run of the planted towers with noise on their weights."""
    run = planted.write_run(settings, version)
    payload = torch.load(run / "towers.pt", weights_only=True)
    generator = torch.Generator().manual_seed(4)
    for weight in payload["state"].values():
        weight += noise * torch.randn(weight.shape, generator=generator)
    torch.save(payload, run / "towers.pt")


def test_two_runs_are_compared_user_by_user(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    worse(duckdb_settings, "20260102_000000", noise=0.6)
    results = [evaluate(duckdb_settings, v) for v in (planted.VERSION, "20260102_000000")]
    found = compare(duckdb_settings, "20260102_000000", planted.VERSION)
    rows = {row.metric: row for row in found.differences}
    better, bad = (result.metrics["two_tower"]["overall"] for result in results)
    for metric in ACCURACY:
        row = rows[metric]
        assert (row.slice, row.users) == ("overall", planted.USERS)
        assert row.first == pytest.approx(bad[metric])
        assert row.second == pytest.approx(better[metric])
        assert row.difference == pytest.approx(better[metric] - bad[metric])
        assert 0 < row.lower < row.difference < row.upper
        assert row.p_value < 0.001
    assert "calibration" not in rows  # of nobody: these videos have no tags
    same = compare(duckdb_settings, planted.VERSION, planted.VERSION)
    assert {(row.difference, row.lower, row.upper) for row in same.differences} == {(0, 0, 0)}
    assert {row.p_value for row in same.differences} == {1.0}


def test_a_new_model_is_shown_beside_the_one_that_serves(either_settings: Settings) -> None:
    planted.build(either_settings)
    worse(either_settings, "20260102_000000", noise=0.6)
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("create table two_tower.model_releases (release_id bigint, version text)")
        warehouse.execute("insert into two_tower.model_releases values (1, '20260102_000000')")
    result = evaluate(either_settings, planted.VERSION)
    with open_warehouse(either_settings) as warehouse:
        (row,) = warehouse.fetch(
            "select * from two_tower.evaluation_comparisons where baseline = 'serving'"
            " and slice = 'overall' and metric = 'ndcg@10'"
        )
    assert 0 < row["lower"] < row["difference"]
    figures = (f"{row['value']:.4f}", f"{row['baseline_value']:.4f}", f"{row['difference']:+.4f}")
    page = References()
    text = result.report.read_text(encoding="utf-8")
    page.feed(text)
    assert page.open == []
    section = text.split("Beside 20260102_000000, which is serving")[1].split("</section>")[0]
    assert all(figure in section for figure in figures)
    assert UNRECORDED in section
    card = run_page.page(
        either_settings, {"train": {"version": planted.VERSION, "seconds": 1.0}}, STEPS, "Completed"
    )
    beside = card.split("### Beside 20260102_000000, which was serving")[1].split("##")[0]
    assert "| overall | ndcg@10 |" in beside
    assert figures[2] in beside


def test_runs_on_other_targets_are_not_compared(duckdb_settings: Settings) -> None:
    planted.build(duckdb_settings)
    planted.write_run(duckdb_settings, "20260102_000000")
    evaluate(duckdb_settings, planted.VERSION)
    with open_warehouse(duckdb_settings) as warehouse:
        # The same users and as many targets, of whom one has another.
        warehouse.execute(
            "update two_tower.evaluation_users set target_item_numbers = [0, 1, 2]"
            f" where user_id = '{planted.user_id(5)}'"
        )
    evaluate(duckdb_settings, "20260102_000000")
    with pytest.raises(InputError, match="same users and targets"):
        compare(duckdb_settings, planted.VERSION, "20260102_000000")
    (duckdb_settings.path(duckdb_settings.runs_dir) / planted.VERSION / FILE).unlink()
    with pytest.raises(InputError, match="was not evaluated"):
        compare(duckdb_settings, planted.VERSION, "20260102_000000")


def test_users_metrics_average_to_the_metrics(duckdb_settings: Settings) -> None:
    run = planted.build(duckdb_settings)
    result = evaluate(duckdb_settings)
    rows = pq.read_table(run / FILE)
    assert rows.num_rows == 3 * planted.USERS
    for model in ("two_tower", "popularity", "item_knn"):
        mine = rows.filter(pc.equal(rows["model"], model))
        for metric in (*ACCURACY, "novelty", "diversity"):
            mean = np.nanmean(mine[metric].to_numpy())
            assert mean == pytest.approx(result.metrics[model]["overall"][metric])
