"""The logic of the speed benchmarks: ratios of rounds, growth, equality of tables, bare SQL."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import psycopg
import pytest
from benchmarks import bare_sql, comparison, features, stages
from benchmarks.comparison import Comparison, slopes
from benchmarks.features_peers import rules
from benchmarks.harness import Figure


def test_a_ratio_is_the_median_of_the_rounds_not_of_the_seconds() -> None:
    """A slow round slows both: their medians may come from different rounds."""
    row = Comparison(1, "ours", "peer", [2.0, 90.0, 3.0], [1.0, 30.0, 2.0]).row()
    assert (row["ratio"], row["least"], row["most"]) == (2.0, 1.5, 3.0)
    assert (row["runs"], row["seconds"], row["its seconds"]) == (3, 3.0, 2.0)


def test_rounds_without_a_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Comparison(1, "ours", "peer", [1.0, 2.0], [1.0]).row()


def test_growth_steeper_than_n_log_n_is_flagged() -> None:
    sizes = (40_000, 200_000, 1_000_000)
    figures = [
        *(Figure(size, "a little more", size, 1e-6 * size**1.05, None) for size in sizes),
        *(Figure(size, "square", size, 1e-9 * size**2, None) for size in sizes),
        *(Figure(n, "even", n, 1.0, None, "its limit", float(n) ** 1.5) for n in sizes),
    ]
    found = slopes(figures)
    assert {row["stage"] for row in found if row["steeper"]} == {"square", "even: its limit"}
    assert [row["slope"] for row in found if row["stage"] == "square"] == pytest.approx([2, 2])
    even = next(row for row in found if row["stage"] == "even")
    assert even["slope"] == 0
    assert 1 < even["n log n"] < 1.1


def test_sizes_that_were_not_measured_keep_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"pairs": [{"size": 5, "ratio": 5}, {"size": 1, "ratio": 1}]}
    (tmp_path / "some.json").write_text(json.dumps(before), encoding="utf-8")
    monkeypatch.setattr(comparison, "RESULTS", tmp_path)
    found = comparison.with_kept("some", "pairs", [{"size": 1, "ratio": 2}])
    assert found == [{"size": 1, "ratio": 2}, {"size": 5, "ratio": 5}]
    assert comparison.with_kept("none", "pairs", []) == []


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ("('a', 0.6000000000000001, [0.04]), ('b', 0.2, [])", ""),
        ("('a', 0.6, [0.04])", "users has 2 rows, the script's 1"),
        ("('a', 0.6, [0.05]), ('b', 0.2, [])", "users: 1 of the compared rows differ"),
    ],
)
def test_a_table_of_a_script_is_compared_but_for_its_last_digits(
    theirs: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "TABLES", {"users": "id"})
    rows = "(values {}) as rows (id, weight, relevances)"
    with duckdb.connect(str(tmp_path / "ours.duckdb")) as connection:
        ours = rows.format("('a', 0.6::double, [0.04::double]), ('b', 0.2, [])")
        connection.execute(f"create schema two_tower; create table two_tower.users as from {ours}")
        connection.execute(f"copy (from {rows.format(theirs)}) to '{tmp_path}/users.parquet'")
    assert features.difference(tmp_path / "ours.duckdb", tmp_path, share=1) == said


def test_bare_sql_is_that_of_the_wanted_models_and_what_they_are_made_from(tmp_path: Path) -> None:
    nodes = {"a": [], "b": ["model.p.a"], "c": ["model.p.b", "source.p.x"], "d": ["model.p.a"]}
    manifest = {
        f"model.p.{name}": {
            "name": name,
            "config": {"materialized": "view" if name == "a" else "incremental"},
            "depends_on": {"nodes": above},
        }
        for name, above in nodes.items()
    }
    ids = ["model.p.a", "test.p.t", "model.p.d", "model.p.b", "model.p.c"]
    results = [{"unique_id": each, "compiled_code": f"select '{each[-1]}'"} for each in ids]
    (tmp_path / "manifest.json").write_text(json.dumps({"nodes": manifest}), encoding="utf-8")
    (tmp_path / "run_results.json").write_text(json.dumps({"results": results}), encoding="utf-8")

    assert bare_sql.compiled_models(tmp_path, ["c"]) == [
        "create view bare.a as select 'a'",
        "create table bare.b as select 'b'",
        "create table bare.c as select 'c'",
    ]
    assert len(bare_sql.compiled_models(tmp_path)) == 4


def test_the_lists_of_a_release_are_those_of_its_index(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("set search_path = public, extensions")
        connection.execute("drop table if exists public.bench_vectors")
        connection.execute(
            "create table public.bench_vectors (id integer primary key, embedding halfvec(2))"
        )
        assert stages.index_lists(postgres_dsn, "bench_vectors") == 0
        connection.execute(
            "create index on public.bench_vectors using ivfflat (embedding halfvec_cosine_ops)"
            " with (lists = 156)"
        )
        assert stages.index_lists(postgres_dsn, "bench_vectors") == 156
        connection.execute("drop table public.bench_vectors")


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("  https://Video.example.com/digital/detail/a1#reviews", "/digital/detail/a1"),
        ("http://video.example.com/digital/detail/a1/?i3_ref=list&i3_ord=3", "/digital/detail/a1"),
        ("https://video.example.com/?id=7&utm_source=mail", "?id=7"),
    ],
)
def test_the_peers_know_the_page_of_a_url(url: str, page: str) -> None:
    assert rules.page(url) == f"video.example.com{page}"


def test_the_peers_know_the_tokens_of_a_title() -> None:
    assert rules.title_tokens("北海道の Piano 第０7回") == {
        *("北海", "海道", "道の", "piano", "第", "7", "回")
    }
