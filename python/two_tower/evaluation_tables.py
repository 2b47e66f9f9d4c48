"""The rows of an evaluation in the database: always in ``two_tower``, whatever split it is of."""

from __future__ import annotations

import json

from two_tower import tables
from two_tower.evaluation_report import Evaluation
from two_tower.warehouse import Warehouse


def write(warehouse: Warehouse, evaluation: Evaluation) -> None:
    """Replace the rows of this run in ``evaluation_runs`` and ``evaluation_metrics``."""
    tables.ensure_evaluation(warehouse)
    with warehouse.transaction():
        for table in ("evaluation_runs", "evaluation_metrics"):
            warehouse.execute(
                f"delete from two_tower.{table} where run_id = ?", (evaluation.version,)
            )
        warehouse.execute(
            "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, protocol,"
            " split_seed, layout_hash, users, videos, config)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                evaluation.version,
                evaluation.evaluated_at,
                evaluation.split,
                evaluation.protocol,
                evaluation.split_seed,
                evaluation.layout_hash,
                evaluation.users[evaluation.headline],
                evaluation.videos,
                json.dumps(evaluation.config, ensure_ascii=False),
            ),
        )
        for model, slices in evaluation.metrics.items():
            for name in slices:
                _write_slice(warehouse, evaluation, model, name)


def _write_slice(warehouse: Warehouse, evaluation: Evaluation, model: str, name: str) -> None:
    intervals = evaluation.intervals[model][name]
    for metric, value in evaluation.metrics[model][name].items():
        lower, upper = intervals.get(metric, (None, None))
        warehouse.execute(
            "insert into two_tower.evaluation_metrics (run_id, model, slice, metric, value,"
            " lower, upper, users) values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                evaluation.version,
                model,
                name,
                metric,
                value,
                lower,
                upper,
                evaluation.users[name],
            ),
        )
