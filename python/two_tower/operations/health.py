"""The facts for monitors: does the app get answers, from which release, how did runs end?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from two_tower.artifacts.registry import Registry
from two_tower.core.errors import NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse
from two_tower.operations.run_history import DONE, state_now
from two_tower.operations.status import index_state, opened_if_made

# Tables whose rows are counted. Reviews are summed over their files: that table is large.
COUNTED = (
    ("two_tower", "users"),
    ("two_tower", "videos"),
    ("public", "user_embeddings"),
    ("public", "video_embeddings"),
)


@dataclass(frozen=True)
class Run:
    """The newest run of a kind.

    Attributes:
        steps: the kind, as in "load to release".
        state: how it ended, or ``running``.
        started_at: UTC.
        ended_at: UTC; None if it is running, or died.
        done_at: when one of its kind last ended well, UTC.
        message: why it failed.
    """

    steps: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    done_at: datetime | None
    message: str | None


@dataclass(frozen=True)
class Health:
    """The state of the project; None for what does not exist yet.

    Attributes:
        answers: whether ``recommend_videos`` has an answer for an unknown user.
        released_at: since when the version serves, UTC.
        index: of the videos, see :func:`two_tower.operations.status.index_state`.
        index_recall: recall@20 of the search, measured at the release.
        rejected_share: of the rows of all review files, 0 to 1.
        drifted: how many measures of drift are beyond their threshold.
        rows: of tables, by ``schema.name``.
        metrics: of the serving version, over all held-out users.
        runs: the newest of each kind.
    """

    answers: bool
    serving_version: str | None
    released_at: datetime | None
    latest_version: str | None
    index: str | None
    index_recall: float | None
    rejected_share: float | None
    drifted: int | None
    rows: dict[str, int]
    metrics: dict[str, float]
    runs: list[Run]


def health(settings: Settings) -> Health:
    """Read the health. Nothing is created or written.

    Raises:
        InputError: the database or the registry refuses this user.
        UnavailableError: the database or the registry did not answer.
    """
    latest = _latest(settings)
    with opened_if_made(settings) as warehouse:
        if warehouse is None:
            return Health(False, None, None, latest, None, None, None, None, {}, {}, [])
        release = next(iter(last_releases(warehouse, 1)), None)
        files = _files(warehouse)
        return Health(
            answers=_answers(warehouse),
            serving_version=release["version"] if release else None,
            released_at=release["released_at"] if release else None,
            latest_version=latest,
            index=index_state(warehouse, release["lists"]) if release else None,
            index_recall=release["index_recall"] if release else None,
            rejected_share=files["rejected"] / files["read"] if files.get("read") else None,
            drifted=_drifted(warehouse),
            rows=_rows(warehouse, files),
            metrics=_metrics(warehouse, release["version"]) if release else {},
            runs=_runs(settings, warehouse),
        )


def _latest(settings: Settings) -> str | None:
    try:
        return str(Registry(settings).latest()["version"])
    except NotEnoughDataError:
        return None


def _answers(warehouse: Warehouse) -> bool:
    """Ask what the app asks. The function is there as soon as dbt has built."""
    if not warehouse.relation_exists("two_tower", "popularity"):
        return False
    return bool(warehouse.fetch("select video_id from public.recommend_videos('', 1)"))


def _files(warehouse: Warehouse) -> dict[str, int]:
    if not warehouse.relation_exists("raw", "review_files"):
        return {}
    row = warehouse.fetch(
        'select sum(rows_read) as "read", sum(rows_loaded) as loaded,'
        " sum(rows_rejected) as rejected from raw.review_files"
    )[0]
    return {name: int(value or 0) for name, value in row.items()}


def _rows(warehouse: Warehouse, files: dict[str, int]) -> dict[str, int]:
    found = {}
    if files:
        found = {"raw.reviews": files["loaded"], "raw.rejected_reviews": files["rejected"]}
    for schema, table in COUNTED:
        if warehouse.relation_exists(schema, table):
            rows = warehouse.fetch(f"select count(*) as n from {schema}.{table}")
            found[f"{schema}.{table}"] = int(rows[0]["n"])
    return found


def _drifted(warehouse: Warehouse) -> int | None:
    if not warehouse.relation_exists("two_tower", "drift"):
        return None
    rows = warehouse.fetch("select count(*) as n from two_tower.drift where is_exceeded")
    return int(rows[0]["n"])


def _metrics(warehouse: Warehouse, version: str) -> dict[str, float]:
    if not warehouse.relation_exists("two_tower", "evaluation_metrics"):
        return {}
    rows = warehouse.fetch(
        "select metric, value from two_tower.evaluation_metrics where run_id = ?"
        " and model = 'two_tower' and slice = 'overall' and value is not null order by metric",
        (version,),
    )
    return {str(row["metric"]): float(row["value"]) for row in rows}


def _runs(settings: Settings, warehouse: Warehouse) -> list[Run]:
    if not warehouse.relation_exists("two_tower", "pipeline_runs"):
        return []
    rows = warehouse.fetch(
        "select steps, state, started_at, ended_at, message, ("
        "  select max(done.ended_at) from two_tower.pipeline_runs as done"
        f"  where done.steps = runs.steps and done.state = '{DONE}') as done_at"
        " from two_tower.pipeline_runs as runs where started_at = ("
        "  select max(others.started_at) from two_tower.pipeline_runs as others"
        "  where others.steps = runs.steps) order by steps"
    )
    return [Run(**row | {"state": state_now(settings, warehouse, row["state"])}) for row in rows]
