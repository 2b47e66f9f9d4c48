"""The rows of an evaluation in the database: in schema ``two_tower``, whatever the split."""

from __future__ import annotations

import dataclasses
import json

from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse
from two_tower.evaluation.paired_differences import Paired
from two_tower.evaluation.report import Evaluation

# Users whose training reviews are recorded with a model: twice as many as are evaluated, in the
# same order, since not every training user has a held-out like.
RECORDED_USERS = 100_000


def write(warehouse: Warehouse, evaluation: Evaluation) -> None:
    """Replace the rows of this run; its training rows only if it was trained on this build."""
    ddl.ensure_evaluation(warehouse)
    with warehouse.transaction():
        for table in ("evaluation_runs", "evaluation_metrics", "evaluation_comparisons"):
            warehouse.execute(
                f"delete from two_tower.{table} where run_id = ?", (evaluation.version,)
            )
        warehouse.execute(
            "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, protocol,"
            " split_seed, layout_hash, users, videos, config, serving_version, serving_state,"
            " serving_note) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                evaluation.serving_version,
                evaluation.serving_state,
                evaluation.serving_note,
            ),
        )
        for model, slices in evaluation.metrics.items():
            for name in slices:
                _write_slice(warehouse, evaluation, model, name)
        for row in evaluation.comparisons:
            _write_comparison(warehouse, evaluation.version, row)
        if evaluation.is_trained_here:
            _record_training(warehouse, evaluation.version)


def _write_comparison(warehouse: Warehouse, version: str, row: Paired) -> None:
    names = [field.name for field in dataclasses.fields(row)]
    marks = ", ".join("?" for _ in names)
    warehouse.execute(
        f"insert into two_tower.evaluation_comparisons (run_id, {', '.join(names)})"
        f" values (?, {marks})",
        (version, *dataclasses.astuple(row)),
    )


def _record_training(warehouse: Warehouse, version: str) -> None:
    """Record the model's training reviews: once it serves, it is measured on none of them."""
    schema = warehouse.schema
    warehouse.execute("delete from two_tower.evaluation_training where run_id = ?", (version,))
    warehouse.execute(
        "insert into two_tower.evaluation_training (run_id, user_id, video_ids)"
        f" select '{version}', t.user_id, array_agg(i.video_id)"
        f" from (select user_id, unnest(item_numbers) as item_number from (select user_id,"
        f"  item_numbers from {schema}.training_users order by md5('evaluation:' || user_id),"
        f"  user_id limit {RECORDED_USERS}) as u) as t"
        f" inner join {schema}.item_feature_slots as i on i.item_number = t.item_number"
        " group by t.user_id"
    )


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
