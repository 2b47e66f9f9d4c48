"""The contracted models hold the same rows on DuckDB and Postgres, and after a second build."""

import json
import math
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.database.warehouse import open_warehouse

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("both_engines")]

SHOWN_ROWS = 3
Row = tuple[Any, ...]
Tables = dict[str, list[Row]]


def contracted_models(target: Path) -> dict[str, list[str]]:
    """Return name -> column types of the contracted models that a bare `dbt build` makes."""
    nodes = json.loads((target / "manifest.json").read_text())["nodes"].values()
    return {
        node["name"]: [column["data_type"] for column in node["columns"].values()]
        for node in nodes
        if node["resource_type"] == "model"
        and node["contract"]["enforced"]
        and "release" not in node["tags"]
    }


def plain(value: Any, is_real: bool) -> Any:
    """Return a value as both drivers would: uuids as text, arrays as tuples, a real as float32."""
    if isinstance(value, list | tuple):
        return tuple(plain(item, is_real) for item in value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if is_real and isinstance(value, float):
        return struct.unpack("f", struct.pack("f", value))[0]
    return value


def read(settings: Settings, models: dict[str, list[str]]) -> Tables:
    """Return the rows of each model, in an order of their own."""
    tables: Tables = {}
    with open_warehouse(settings) as warehouse:
        for name, types in models.items():
            rows = [
                tuple(
                    plain(value, kind.startswith("real"))
                    for value, kind in zip(row.values(), types, strict=True)
                )
                for row in warehouse.fetch(f"select * from two_tower.{name}")
            ]
            tables[name] = sorted(rows, key=exact_part)
    return tables


def exact_part(row: Row) -> str:
    """Return what a row sorts by: all but its floats, which may differ in their last digits."""
    return repr([value for value in row if not isinstance(value, float)])


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal, floats to 1e-9 (reals to what a driver prints)."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        is_real = left == struct.unpack("f", struct.pack("f", left))[0]
        return math.isclose(left, right, rel_tol=1e-6 if is_real else 1e-9, abs_tol=1e-9)
    return bool(left == right)


def differences(left: Tables, right: Tables) -> str:
    """Return the first differing rows of each model that differs."""
    lines: list[str] = []
    for name in left:
        if len(left[name]) != len(right[name]):
            lines.append(f"{name}: {len(left[name])} rows against {len(right[name])}")
        pairs = zip(left[name], right[name], strict=False)
        offenders = [(ours, theirs) for ours, theirs in pairs if not same(ours, theirs)]
        for ours, theirs in offenders[:SHOWN_ROWS]:
            lines += [f"{name}:", f"  {ours}", f"  {theirs}"]
    return "\n".join(lines)


def test_both_engines_hold_the_same_rows(
    both_engines: dict[str, Settings], dbt_target: Path
) -> None:
    models = contracted_models(dbt_target)
    assert {"interactions", "interaction_splits", "videos", "popularity"} <= set(models)
    tables = {engine: read(settings, models) for engine, settings in both_engines.items()}
    assert differences(tables["duckdb"], tables["postgres"]) == ""
    # Cold users are there only when the split holds users out: test_protocols.py.
    empty = [name for name, rows in tables["duckdb"].items() if not rows]
    assert empty == ["evaluation_cold_users"]


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_events_are_interactions_beside_the_reviews(
    engine: str, both_engines: dict[str, Settings]
) -> None:
    """Each kind by its weight; the app's own likes by a view; and of the others is said why."""
    with open_warehouse(both_engines[engine]) as warehouse:
        rows = warehouse.fetch(
            "select user_id, label, weight from two_tower.interactions"
            " where user_id in ('app_user_1', 'old_user') order by user_id, weight"
        )
        kinds = warehouse.fetch("select * from two_tower.event_reconciliation order by kind")
    weights = [(row["user_id"], row["label"], round(row["weight"], 6)) for row in rows]
    assert weights == [
        *[("app_user_1", 0, 0.0), ("app_user_1", 0, 0.3)],
        *[("app_user_1", 1, 1.0), ("app_user_1", 1, 1.0)],
        *[("old_user", 1, 1.0), ("old_user", 1, 1.0)],
    ]
    assert [tuple(row.values()) for row in kinds] == [
        ("click", 16, 0, 16, 0, 0, 0),
        ("dislike", 8, 8, 0, 0, 0, 0),
        ("like", 11, 10, 0, 1, 0, 0),
        ("view", 16, 16, 0, 0, 0, 0),
        ("wish", 2, 0, 0, 0, 2, 0),
    ]


def wilson(found: int, trials: int) -> tuple[float, float]:
    """Return the bounds of a rate's 95 % interval (Wilson 1927)."""
    z = 1.959964
    middle = (found + z * z / 2) / (trials + z * z)
    half = z * math.sqrt(found * (trials - found) / trials + z * z / 4) / (trials + z * z)
    return middle - half, middle + half


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_rates_have_the_bounds_of_wilson_and_newcombe(
    engine: str, both_engines: dict[str, Settings]
) -> None:
    assert wilson(1, 4) == pytest.approx((0.0456, 0.6994), abs=1e-4)  # prop.test of R
    with open_warehouse(both_engines[engine]) as warehouse:
        rows = warehouse.fetch("select * from two_tower.experiment_results")
        days = warehouse.fetch("select * from two_tower.online_metrics")
    controls = {row["position"]: row for row in rows if row["variant"] == "control"}
    compared = 0
    for row in rows:
        for name, verb in (("click", "clicked"), ("like", "liked")):
            counts = (row[f"{verb}_count"], row["list_count"])
            low, high = wilson(*counts)
            assert row[f"{name}_rate_lower"] == pytest.approx(low, abs=1e-6)
            assert row[f"{name}_rate_upper"] == pytest.approx(high, abs=1e-6)
            control = controls.get(row["position"])
            if row["variant"] == "control" or control is None:
                assert row[f"{name}_difference_lower"] is None
                continue
            rate, other = row[f"{name}_rate"], control[f"{name}_rate"]
            bounds = wilson(control[f"{verb}_count"], control["list_count"])
            below = math.hypot(rate - low, bounds[1] - other)
            above = math.hypot(high - rate, other - bounds[0])
            assert row[f"{name}_difference"] == pytest.approx(rate - other)
            assert row[f"{name}_difference_lower"] == pytest.approx(rate - other - below, abs=1e-6)
            assert row[f"{name}_difference_upper"] == pytest.approx(rate - other + above, abs=1e-6)
            compared += rate != other
    assert compared
    for day in days:
        found = (day["click_through_rate_lower"], day["click_through_rate_upper"])
        assert found == pytest.approx(wilson(day["click_count"], day["impression_count"]), abs=1e-6)


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_the_app_has_its_functions_from_the_first_build_on(
    engine: str, both_engines: dict[str, Settings]
) -> None:
    with open_warehouse(both_engines[engine]) as warehouse:
        answer = warehouse.fetch("select video_id from public.recommend_videos('nobody', 3)")
    assert len(answer) == 3


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_a_second_build_changes_nothing(
    engine: str, both_engines: dict[str, Settings], dbt_target: Path
) -> None:
    settings = both_engines[engine]
    models = contracted_models(dbt_target)
    before = read(settings, models)
    dbt.run(settings, "run")
    assert differences(before, read(settings, models)) == ""
