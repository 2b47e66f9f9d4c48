"""Evaluation from tables to report, on both engines."""

import json
import re
from html.parser import HTMLParser

import pytest

import planted
from two_tower.errors import InputError, NotEnoughDataError
from two_tower.evaluate import evaluate
from two_tower.settings import Settings
from two_tower.warehouse import open_warehouse

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
    found = {(row["model"], row["slice"], row["metric"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    assert found == {
        (model, name, metric): value
        for model, slices in result.metrics.items()
        for name, metrics in slices.items()
        for metric, value in metrics.items()
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
        assert f"{value:.4f}" in text or f"{value:+.2f}" in text
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
    monkeypatch.setattr("two_tower.heldout.SCORE_CELLS", planted.VIDEOS * 7)
    for model, slices in evaluate(duckdb_settings).metrics.items():
        for name, metrics in slices.items():
            assert metrics == pytest.approx(whole[model][name])
