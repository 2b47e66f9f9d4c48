"""recommend_videos() beside the bare pgvector query, at 100k and 1M clustered vectors.

    python -m benchmarks.retrieval                    # 100k and 1M videos
    python -m benchmarks.retrieval --sizes 20000

Vectors around clusters of unequal size, users between two clusters each, landed and then released
the way the project releases a model's: index policy, audits and measured probes included. Both
queries use the index, the same probes and the same connection, in turn. recall@20 is against exact
search.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.harness import BIN, ROOT, Figure, report, scratch_environment, timed
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database import ddl, embedded
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import landing
from two_tower.serving.release import NO_UNIT_TESTS

USERS = 10_000
QUERIES = 300
SEEN = 30
K = 20
CHUNK = 50_000

MARTS = """
create table two_tower.videos as
    select ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid as video_id
    from generate_series(1, {videos}) as n;
create table two_tower.popularity as
    select video_id, 1.0::double precision / row_number() over () as score,
        (row_number() over ())::integer as popularity_rank from two_tower.videos;
create unique index on two_tower.popularity (popularity_rank);
create table two_tower.user_feature_slots as
    select 'user_' || n as user_id, '{{}}'::smallint[] as feature_ids,
        '{{}}'::integer[] as indices, '{{}}'::real[] as "values"
    from generate_series(1, {users}) as n;
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text);
create table two_tower.int_moment as select timestamp '2026-01-01' as as_of;
create table two_tower.distributions (tower text, feature text, bin text, row_count bigint,
    new_count bigint, width integer);
create table two_tower.interactions as
    select 'user_' || u as user_id, ('00000000-0000-0000-0000-'
        || lpad(to_hex(1 + (u * 7919 + i * 104729) % {videos}), 12, '0'))::uuid as item_id
    from generate_series(1, {users}) as u, generate_series(1, {seen}) as i;
create index on two_tower.interactions (user_id);
insert into two_tower.artifact_checks
    (version, checked_at, check_name, value, threshold, note)
    select '{version}', now() at time zone 'UTC', name, 0, 0, 'vectors without a model'
    from unnest(array['registry:damaged_files', 'registry:onnx_parity']) as names (name);
analyze
"""
VERSION = "20260101_000000"

BARE = """
select v.video_id, 1 - (v.embedding <=> (select embedding from public.user_embeddings where user_id = %s))
from public.video_embeddings as v
order by v.embedding <=> (select embedding from public.user_embeddings where user_id = %s)
limit %s
"""  # noqa: E501
OURS = "select video_id, score from public.recommend_videos(%s, %s, false)"
UNSEEN = "select video_id, score from public.recommend_videos(%s, %s)"


def clusters(videos: int) -> NDArray[np.float32]:
    """Return the centres, float32 ``[clusters, 128]``: one for about 500 videos."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((max(20, videos // 500), DIM)).astype(np.float32)


def video_vectors(centres: NDArray[np.float32], rows: int, seed: int) -> NDArray[np.float32]:
    """Return unit vectors ``[rows, 128]`` around centres of long-tailed sizes."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.sqrt(np.arange(1, len(centres) + 1))
    vectors = centres[rng.choice(len(centres), rows, p=weights / weights.sum())]
    vectors = vectors + 0.5 * rng.standard_normal(vectors.shape, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def user_vectors(centres: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return unit vectors ``[rows, 128]`` between two centres each: users are no videos."""
    rng = np.random.default_rng(2)
    first, second = centres[rng.integers(len(centres), size=(2, rows))]
    share = rng.uniform(0.3, 1.0, (rows, 1)).astype(np.float32)
    vectors = share * first + (1 - share) * second
    vectors = vectors + 0.3 * rng.standard_normal(vectors.shape, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def land(settings: Settings, videos: int) -> None:
    """Fill an empty database with marts and landed vectors."""
    centres = clusters(videos)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        statements = MARTS.format(videos=videos, users=USERS, seen=SEEN, version=VERSION)
        for statement in statements.split(";"):
            warehouse.execute(statement)
        with warehouse.transaction():
            landing.clear(warehouse)
            users = pa.array([f"user_{number}" for number in range(1, USERS + 1)])
            landing.write(warehouse, "user", VERSION, [(users, user_vectors(centres, USERS))])
            batches = (
                (
                    pa.array(
                        [
                            f"00000000-0000-0000-0000-{number:012x}"
                            for number in range(start + 1, min(start + CHUNK, videos) + 1)
                        ]
                    ),
                    video_vectors(centres, min(CHUNK, videos - start), seed=start + 3),
                )
                for start in range(0, videos, CHUNK)
            )
            landing.write(warehouse, "item", VERSION, batches)


def measure(dsn: str, videos: int) -> tuple[list[Figure], dict[str, float]]:
    """Time the queries in turn for the same users; return the figures and the recall."""
    seconds: dict[str, list[float]] = {"bare": [], "ours": [], "unseen": []}
    found: dict[str, int] = {"bare": 0, "ours": 0}
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "select lists, probes, index_recall from two_tower.model_releases"
        ).fetchone()
        assert row is not None
        lists, probes, measured = row
        connection.execute(f"set ivfflat.probes = {probes or lists or 1}")
        connection.execute("set jit = off")
        queries: dict[str, tuple[str, tuple[object, ...]]] = {}
        for number in range(1, QUERIES + 1):
            user = f"user_{number * (USERS // QUERIES)}"
            queries = {
                "bare": (BARE, (user, user, K)),
                "ours": (OURS, (user, K)),
                "unseen": (UNSEEN, (user, K)),
            }
            connection.execute("set enable_indexscan = off")
            exact = connection.execute(BARE, (user, user, K)).fetchall()
            connection.execute("set enable_indexscan = on")
            farthest = min(score for _, score in exact)
            for name, (sql, params) in queries.items():
                started = time.perf_counter()
                rows = connection.execute(sql, params).fetchall()
                seconds[name].append(time.perf_counter() - started)
                if name in found:
                    found[name] += sum(score >= farthest - 1e-6 for _, score in rows)
    figures = []
    for name, title in (("ours", "recommend_videos"), ("unseen", "… excluding seen")):
        for share, label in ((50, "median"), (95, "p95")):
            figures.append(
                Figure(
                    videos,
                    f"{title} ({label})",
                    K,
                    float(np.percentile(seconds[name], share)),
                    None,
                    "bare pgvector query",
                    float(np.percentile(seconds["bare"], share)),
                )
            )
    total = QUERIES * K
    recall = {
        "lists": lists or 0,
        "probes": probes or 0,
        "recall measured at release": measured,
        "recall of recommend_videos": found["ours"] / total,
        "recall of the bare query": found["bare"] / total,
    }
    return figures, recall


def run(videos: int, folder: Path) -> tuple[list[Figure], dict[str, float]]:
    """Land, release and measure one size."""
    settings = Settings(target="embedded", project_dir=ROOT, postgres_dir=folder / "pg")
    dsn = embedded.start(settings)
    try:
        print(f"{videos:,}: landing", flush=True)
        land(settings, videos)
        print(f"{videos:,}: release", flush=True)
        # What `two-tower release` runs: there are vectors here, and no files of a model.
        dbt = [str(BIN / "two-tower"), "dbt", "--"]
        command = [*dbt, "build", "--selector", "release", *NO_UNIT_TESTS]
        done = timed(command, scratch_environment(folder, "embedded"))
        print(f"{videos:,}: queries", flush=True)
        figures, recall = measure(dsn, videos)
        return [Figure(videos, "release", videos, done.seconds, done.peak_mib), *figures], recall
    finally:
        embedded.stop(settings)


def main() -> None:
    """Measure the sizes given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    figures: list[Figure] = []
    recalls = Table(title="recall@20 against exact search", title_justify="left")
    for number, size in enumerate(parser.parse_args().sizes):
        folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
        folder.chmod(0o755)
        try:
            measured, recall = run(size, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        figures += measured
        if number == 0:
            for column in ("videos", *recall):
                recalls.add_column(column, justify="right")
        recalls.add_row(f"{size:,}", *(f"{value:.4g}" for value in recall.values()))
    report("retrieval", figures)
    Console(width=140).print(recalls)


if __name__ == "__main__":
    main()
