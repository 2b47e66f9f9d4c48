"""The report of a run, one page of Markdown: data, metrics, gates, timings."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from two_tower.core.settings import Settings
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.operations.pipeline import STEPS, Step, Summary

SHOWN_METRICS = (
    *("recall@20", "recall@50", "ndcg@10", "ndcg@100"),
    *("mrr", "coverage", "popularity_lift"),
)
COUNTS = {
    "review files": ("raw", "review_files"),
    "reviews": ("raw", "reviews"),
    "users": ("two_tower", "users"),
    "videos": ("two_tower", "videos"),
    "reviews of known videos, one a user and video": ("two_tower", "interactions"),
    "URLs that match no video": ("two_tower", "unknown_product_urls"),
}


def page(
    settings: Settings, summaries: Mapping[str, Summary], steps: Sequence[Step], outcome: str
) -> str:
    """Return the page of a run; of a failed one, as far as it came.

    Args:
        settings: the project.
        summaries: of the finished steps, by name.
        steps: those of the run.
        outcome: how it ended, in Markdown.
    """
    version = next((s["version"] for s in summaries.values() if s.get("version")), None)
    parts = [f"# {version or 'No model'}", outcome]
    with open_warehouse(settings) as warehouse:
        parts += ["## Data", *_data(warehouse)]
        if version is not None:
            parts += ["## Figures on held-out reviews", *_figures(warehouse, version)]
            parts += _beside(warehouse, version)
            parts += _gates(checks(warehouse, version))
    parts += ["## Steps", step_table(summaries, steps)]
    report = summaries.get("evaluate", {}).get("report")
    if report:
        # Not a link: browsers follow none to a file, and the file is on the worker's machine.
        parts.append(f"Plots and every slice: `{report}` on {socket.gethostname()}")
    return "\n\n".join(parts)


def checks(warehouse: Warehouse, version: str) -> list[dict[str, Any]]:
    """Return the promotion checks of a version's last attempt, the failed ones first."""
    if not warehouse.relation_exists("two_tower", "promotion_checks"):
        return []
    return warehouse.fetch(
        'select check_name as "check", value, requirement, threshold, passed, note'
        " from two_tower.promotion_checks where version = ? and attempt ="
        " (select max(attempt) from two_tower.promotion_checks where version = ?)"
        " order by passed, check_name",
        (version, version),
    )


def step_table(summaries: Mapping[str, Summary], steps: Sequence[Step] = STEPS) -> str:
    """Return a Markdown table of all steps in order, and their warnings below it.

    Args:
        summaries: what :func:`two_tower.operations.pipeline.run_step` returned, by step name. A
            step without one is shown as not done.
        steps: those of the run.
    """
    version = next((s["version"] for s in summaries.values() if s.get("version")), "none yet")
    lines = [f"Model version: {version}", "", "| step | seconds | counts |", "| --- | ---: | --- |"]
    for step in steps:
        summary = summaries.get(step.name)
        if summary is None:
            lines.append(f"| {step.name} | | not done |")
            continue
        counts = ", ".join(f"{name} {value:,}" for name, value in _counts(summary))
        lines.append(f"| {step.name} | {summary['seconds']:.1f} | {counts} |")
    total = sum(summary["seconds"] for summary in summaries.values())
    lines += [f"| **all** | **{total:.1f}** | |"]
    warnings = [text for summary in summaries.values() for text in summary.get("warnings", [])]
    return "\n".join([*lines, *(f"\nwarning: {text}" for text in warnings)])


def _data(warehouse: Warehouse) -> list[str]:
    counts = {
        title: warehouse.fetch(f"select count(*) as n from {schema}.{name}")[0]["n"]
        for title, (schema, name) in COUNTS.items()
        if warehouse.relation_exists(schema, name)
    }
    found = [_table(["data", "rows"], [[title, f"{n:,}"] for title, n in counts.items()])]
    if warehouse.relation_exists("raw", "rejected_reviews"):
        rows = warehouse.fetch(
            "select reason, count(*) as n from raw.rejected_reviews group by reason order by 2 desc"
        )
        total = sum(row["n"] for row in rows)
        found.append(f"{total:,} rows were rejected{':' if rows else '.'}")
        if rows:
            found.append(_table(["reason", "rows"], [[r["reason"], f"{r['n']:,}"] for r in rows]))
    return found


def _figures(warehouse: Warehouse, version: str) -> list[str]:
    """Return the table of this model, the previous release and the baselines."""
    if not warehouse.relation_exists("two_tower", "evaluation_metrics"):
        return ["Not evaluated."]
    former = _former(warehouse, version)
    columns = {
        "this model": (version, "two_tower"),
        f"release before ({former or 'none'})": (former, "two_tower"),
        "popularity": (version, "popularity"),
        "item-kNN": (version, "item_knn"),
    }
    rows = warehouse.fetch(
        "select run_id, model, metric, value, lower, upper from two_tower.evaluation_metrics"
        " where slice = 'overall' and run_id in (?, ?)",
        (version, former or version),
    )
    cells = {(row["run_id"], row["model"], row["metric"]): row for row in rows}
    lines = [
        [metric, *(_cell(cells.get((*key, metric))) for key in columns.values())]
        for metric in SHOWN_METRICS
    ]
    note = "In brackets the 95 % interval. The release before was measured in its own run."
    return [_table(["metric", *columns], lines), note]


def _beside(warehouse: Warehouse, version: str) -> list[str]:
    """Return the table of this model and the serving one, on likes that neither trained on."""
    if not warehouse.relation_exists("two_tower", "evaluation_comparisons"):
        return []
    rows = warehouse.fetch(
        "select baseline_version, slice, metric, value, baseline_value, difference, lower, upper,"
        " users from two_tower.evaluation_comparisons where run_id = ? and baseline = 'serving'"
        " order by slice <> 'overall', slice, metric",
        (version,),
    )
    if not rows:
        return []
    lines = [
        [
            row["slice"].replace("_", " "),
            row["metric"],
            f"{row['users']:,}",
            _number(row["value"]),
            _number(row["baseline_value"]),
            f"{row['difference']:+.4f} ({row['lower']:+.4f} to {row['upper']:+.4f})",
        ]
        for row in rows
    ]
    return [
        f"### Beside {rows[0]['baseline_version']}, which was serving, on likes held out from both",
        _table(["of", "metric", "users", "this model", "serving", "difference"], lines),
    ]


def _former(warehouse: Warehouse, version: str) -> str | None:
    released = (str(row["version"]) for row in last_releases(warehouse))
    return next((former for former in released if former != version), None)


def _gates(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    failed = sum(not row["passed"] for row in rows)
    lines = [
        [
            "✔" if row["passed"] else "**✘**",
            row["check"],
            _number(row["value"]),
            f"{row['requirement']} {_number(row['threshold'])}",
            row["note"] or "",
        ]
        for row in rows
    ]
    title = f"## Gates: {failed} of {len(rows)} failed" if failed else "## Gates: all passed"
    return [title, _table(["", "check", "found", "required", "note"], lines)]


def _counts(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the integers of a summary: they are counts."""
    for name, value in summary.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield name.replace("_", " "), value


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return ""
    if row["lower"] is None:
        return _number(row["value"])
    return f"{_number(row['value'])} ({_number(row['lower'])}–{_number(row['upper'])})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
