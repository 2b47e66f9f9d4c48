"""A database as it stands before a release: marts, features and landed vectors, made by hand."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving import tiny_model
from two_tower.artifacts.registry import Registry
from two_tower.core.metric_names import COMPARED
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.evaluation.serving_baseline import SLICES
from two_tower.serving import landing

# Of five releases (telling_vectors).
SHARES = [0.5, 0.58, 0.66, 0.74, 0.82]
MARTS = """
create schema if not exists two_tower;
create table two_tower.videos (video_id uuid, title text, thumbnail_url text, product_url text,
    source text, maker text, label text, series text, price double precision, released_on date,
    tag_ids text[], performer_ids text[]);
create view two_tower.video_sample as select * from two_tower.videos limit 2000;
create table two_tower.popularity (video_id uuid, score double precision, popularity_rank integer);
create table two_tower.video_rankings (ranking text, video_id uuid, score double precision,
    rank integer);
create table two_tower.int_moment as select timestamp '2026-01-01' as as_of;
create table two_tower.interactions (user_id text, item_id uuid, label smallint,
    "timestamp" timestamp);
create table two_tower.user_feature_slots (
    user_id text, feature_ids smallint[], indices integer[], "values" real[]
);
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    position integer, vocabulary text, width integer, layout_hash text);
create table two_tower.distributions (tower text, feature text, bin text, row_count bigint,
    new_count bigint, width integer);
"""


def video_id(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def user_id(number: int) -> str:
    return f"user_{number}"  # of several lengths


def clustered(rows: int, seed: int, clusters: int = 20, spread: float = 0.5) -> NDArray[np.float32]:
    """Unit vectors around common centres, as a model's are; the centres are always the same."""
    centres = np.random.default_rng(0).standard_normal((clusters, DIM))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(clusters, size=rows)]
    vectors = vectors + spread * generator.standard_normal((rows, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def telling_vectors(number: int, rows: int, tower: str) -> NDArray[np.float32]:
    """Vectors that tell their release: a user and a video of one release have the cosine
    0.6 * SHARES[number], those of different releases about none."""
    share = 0.6 if tower == "user" else SHARES[number]
    first = 64 if tower == "user" else 32
    noise = np.random.default_rng(number).standard_normal((rows, 32))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = np.zeros((rows, 128), dtype=np.float32)
    vectors[:, number] = share
    vectors[:, first : first + 32] = np.sqrt(1 - share**2) * noise
    return vectors


def told_by(scores: Iterable[float]) -> set[int | None]:
    """The releases whose vectors have these cosines; None of a cosine that no release has."""

    def of(score: float) -> int | None:
        number = int(np.argmin([abs(score - 0.6 * share) for share in SHARES]))
        return number if abs(score - 0.6 * SHARES[number]) < 0.01 else None

    return {of(score) for score in scores}


@dataclass
class World:
    settings: Settings
    users: int
    videos: int

    def land(
        self,
        version: str,
        users: NDArray[np.float32] | None = None,
        videos: NDArray[np.float32] | None = None,
    ) -> None:
        """Fill the landing tables, by default with clustered vectors that depend on the version."""
        seed = int("".join(filter(str.isdigit, version)))
        vectors = {
            "user": clustered(self.users, 2 * seed) if users is None else users,
            "item": clustered(self.videos, 2 * seed + 1) if videos is None else videos,
        }
        with open_warehouse(self.settings) as warehouse:
            ddl.ensure_landing(warehouse)
            with warehouse.transaction():
                landing.clear(warehouse)
                for tower, name in (("user", user_id), ("item", video_id)):
                    rows = vectors[tower]
                    ids = pa.array([name(number) for number in range(len(rows))])
                    landing.write(warehouse, tower, version, [(ids, rows)])  # type: ignore[arg-type]
        if version not in Registry(self.settings).versions():
            with tempfile.TemporaryDirectory() as folder:
                tiny_model.publish(self.settings, version, Path(folder))
        self.judge(version)

    def judge(self, version: str, users: int = 500, **changed: tuple[float, float, float]) -> None:
        """Write what `two-tower evaluate` does: as good as what serves, ahead of popularity.

        `changed` are value, lower and upper of a comparison by its slice or, for popularity, by
        `popularity`; the other model always has 0.2.
        """
        with open_warehouse(self.settings) as warehouse:
            ddl.ensure_evaluation(warehouse)
            serving = None
            if warehouse.relation_exists("two_tower", "model_releases"):
                rows = warehouse.fetch(
                    "select version from two_tower.model_releases order by release_id desc limit 1"
                )
                serving = rows[0]["version"] if rows else None
            for table in ("evaluation_runs", "evaluation_metrics", "evaluation_comparisons"):
                warehouse.execute(f"delete from two_tower.{table} where run_id = ?", (version,))
            warehouse.execute(
                "insert into two_tower.evaluation_runs (run_id, evaluated_at, split, layout_hash,"
                " users, videos, config, serving_version, serving_state, serving_note)"
                " values (?, timestamp '2026-01-01', 'random', 'hash', ?, ?, '{}', ?, ?, '')",
                (version, users, self.videos, serving, serving and "compared"),
            )
            for metric, value in (("coverage", 0.5), ("popularity_lift", 0.1)):
                warehouse.execute(
                    "insert into two_tower.evaluation_metrics (run_id, model, slice, metric,"
                    " value, users) values (?, 'two_tower', 'overall', ?, ?, ?)",
                    (version, metric, value, users),
                )
            alike, ahead = (0.2, -0.01, 0.01), (0.3, 0.08, 0.12)
            pairs = [("popularity", None, "overall", changed.get("popularity", ahead))]
            if serving is not None:
                pairs += [("serving", serving, s, changed.get(s, alike)) for s in SLICES]
            for baseline, of, name, (value, *bounds) in pairs:
                for metric in COMPARED:
                    figures = (value, value - 0.2, *bounds, users)
                    warehouse.execute(
                        "insert into two_tower.evaluation_comparisons values"
                        " (?, ?, ?, ?, ?, ?, 0.2, ?, ?, ?, ?)",
                        (version, baseline, of, name, metric, *figures),
                    )


def make_world(settings: Settings, users: int = 50, videos: int = 300) -> World:
    """Fill an empty database: video 0 is the most popular, user 0 has seen videos 0 to 4."""
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        for statement in MARTS.split(";")[:-1]:
            warehouse.execute(statement)
        for sql, rows in (
            (
                "videos (video_id, title, product_url) select id, 'Title ' || n, 'https://e/' || n",
                videos,
            ),
            (f"popularity select id, ({videos} - n) / {videos}.0, n + 1", videos),
            ("interactions (user_id, item_id) select 'user_0', id", 5),
        ):
            _insert(warehouse, sql, [video_id(number) for number in range(rows)])
        _insert(
            warehouse,
            "user_feature_slots select id, null, null, null",
            [user_id(number) for number in range(users)],
        )
    return World(settings, users, videos)


def _insert(warehouse: Warehouse, sql: str, ids: list[str]) -> None:
    kind = "text" if "slots" in sql else "uuid"
    listed = ", ".join(f"('{value}', {number})" for number, value in enumerate(ids))
    warehouse.execute(
        f"insert into two_tower.{sql} from"
        f" (select cast(id as {kind}) as id, n from (values {listed}) as v (id, n)) as w"
    )
