"""Each call of an app beside the bare pgvector query and a hand-written query of the same result.

    python -m benchmarks.serving                      # 1,000,000 videos and as many users
    python -m benchmarks.serving --videos 20000 --users 5000

Video vectors lie around clusters of unequal size, user vectors between two clusters each. Videos
have makers, prices and tags, half of which follow the clusters. The vectors are landed and released
like those of a model, with index policy, audits and measured probes. All queries use the index, the
same probes and the same connection, in turn. recall@20 is against exact search.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.harness import BIN, ROOT, Figure, report, scratch_environment, timed
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM
from two_tower.database import ddl, embedded
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import landing
from two_tower.serving.release import NO_UNIT_TESTS

QUERIES = 200
EXACT = 20  # queries whose answer is compared with exact search
K = 20
CHUNK = 50_000
VERSION = "20260101_000000"
# Seen videos of the viewers: one user in ten has each of these numbers.
SEEN = (10, 300, 3_000, 30_000)
VIEWERS = 100
# Tags by the share of the videos that have them.
SHARES = {"t10": 0.1, "t1": 0.01, "t01": 0.001, "t001": 0.0001}
VOCABULARY = 20_000
CLIENTS = (1, 4, 16)

MARTS = """
create table two_tower.popularity as
    select video_id, 1.0::double precision / row_number() over () as score,
        (row_number() over ())::integer as popularity_rank from two_tower.videos;
create unique index on two_tower.popularity (popularity_rank);
create unique index on two_tower.popularity (video_id);
create table two_tower.video_rankings as
    select 'month' as ranking, video_id, score, popularity_rank as rank from two_tower.popularity
    union all select 'new', video_id, score, popularity_rank from two_tower.popularity
    union all select 'trending', video_id, score, popularity_rank from two_tower.popularity;
create unique index on two_tower.video_rankings (ranking, rank);
create table two_tower.video_sample as
    select * from two_tower.videos order by md5(video_id::text) limit 2000;
create table two_tower.int_moment as select (now() at time zone 'utc') as as_of;
create unique index on two_tower.videos (video_id);
create index on two_tower.videos using gin (tag_ids);
create index on two_tower.videos (maker);
create index on two_tower.videos (price);
create table two_tower.user_feature_slots as
    select 'user_' || n as user_id, '{{}}'::smallint[] as feature_ids,
        '{{}}'::integer[] as indices, '{{}}'::real[] as "values"
    from generate_series(1, {users}) as n;
create table two_tower.feature_layout (feature_id smallint, tower text, feature text, kind text,
    layout_hash text);
create table two_tower.distributions (tower text, feature text, bin text, row_count bigint,
    new_count bigint, width integer);
create table two_tower.vocab_video as
    select (row_number() over (order by video_id) - 1)::integer as index, video_id::text as token
    from (select video_id from two_tower.videos order by video_id limit {vocabulary}) as v;
create unique index on two_tower.vocab_video (token);
create view two_tower.vocabularies as
    select 'video' as vocabulary, token, index from two_tower.vocab_video;
create table two_tower.stg_tags (tag_id text, name text);
create table two_tower.stg_performers (performer_id text, name text);
create table two_tower.interactions as
    select 'user_' || u as user_id, ('00000000-0000-0000-0000-'
        || lpad(to_hex(1 + (u * 7919 + i * 104729::bigint) % {videos}), 12, '0'))::uuid as item_id,
        1::smallint as label, now() at time zone 'utc' as timestamp
    from generate_series(1, {viewers}) as u
    cross join lateral generate_series(1, least(
        ((array{seen})[1 + u % {kinds}]), {videos} / 2)) as i;
create unique index on two_tower.interactions (user_id, item_id);
insert into two_tower.artifact_checks
    (version, checked_at, check_name, value, threshold, note)
    select '{version}', now() at time zone 'UTC', name, 0, 0, 'vectors without a model'
    from unnest(array['registry:damaged_files', 'registry:onnx_parity']) as names (name);
analyze
"""

# A user tower that knows a user by their past videos alone: a video's slot is its own vector.
SLOTS = """
insert into two_tower.slot_blocks
    (version, feature_id, feature, kind, vocabulary, width, shrinkage, layout_hash)
    values ('{version}', 6, 'reviewed_video_ids', 'history', 'video', {vocabulary}, 4, 'hash');
insert into two_tower.slot_vectors (version, feature_id, index, embedding)
    select '{version}', 6, v.index, landed.embedding::vector
    from two_tower.vocab_video as v
    join two_tower.video_embeddings_landing as landed on landed.video_id = v.token::uuid
    union all
    select '{version}', -1, 0, array_fill(0::real, array[128])::vector;
analyze
"""

BARE = """
select v.video_id, 1 - (v.embedding <=> (select embedding from public.user_embeddings where user_id = %s))
from public.video_embeddings as v
order by v.embedding <=> (select embedding from public.user_embeddings where user_id = %s)
limit 20
"""  # noqa: E501
# What a person who knows the tables would write: the planner chooses the plan.
BY_HAND = """
select v.video_id, 1 - (v.embedding <=> (select embedding from public.user_embeddings where user_id = %s)) as score
from public.video_embeddings as v
{join}
order by v.embedding <=> (select embedding from public.user_embeddings where user_id = %s)
limit 20
"""  # noqa: E501
UNSEEN = """where not exists (
    select from two_tower.interactions as i where i.user_id = %s and i.item_id = v.video_id)"""
FILTERED = "join two_tower.videos as videos on videos.video_id = v.video_id where {condition}"


@dataclass(frozen=True)
class World:
    """The size of what is measured."""

    videos: int
    users: int

    def user(self, number: int) -> str:
        """Return the id of a user."""
        return f"user_{1 + number * 37 % self.users}"

    def video(self, number: int) -> str:
        """Return the id of a video that the vocabulary holds."""
        return _uuid(1 + number * 31 % min(VOCABULARY, self.videos))


@dataclass(frozen=True)
class Case:
    """A call for each query, and a hand-written query of the same result.

    Attributes:
        name: name of the case.
        sql: the call.
        params: its parameters, for each query.
        by_hand: a hand-written statement of the same result, if there is one.
        by_hand_params: its parameters, for each query.
        condition: condition on eligible videos, if the result is compared with exact search.
    """

    name: str
    sql: str
    params: list[Sequence[object]]
    by_hand: str | None = None
    by_hand_params: list[Sequence[object]] | None = None
    condition: str | None = None


def cases(world: World) -> Iterator[Case]:
    """Yield the cases to measure."""
    numbers = range(QUERIES)
    users = [(world.user(n),) for n in numbers]
    likes = [[world.video(n + other) for other in range(10)] for n in numbers]
    videos = [world.video(n) for n in numbers]
    plain = "select video_id, score from public."
    yield Case(
        "recommend_videos",
        f"{plain}recommend_videos(%s, {K}, false)",
        list(users),
        condition="true",
    )
    yield Case(
        "recommend_for_likes", f"{plain}recommend_for_likes(%s::uuid[])", [(v,) for v in likes]
    )
    yield Case("similar_videos", f"{plain}similar_videos(%s)", [(v,) for v in videos])
    yield Case(
        "rank_videos", f"{plain}rank_videos(%s, %s::uuid[])",
        [(*u, v) for u, v in zip(users, likes, strict=True)],
    )  # fmt: skip
    yield Case("because_you_watched", f"{plain}because_you_watched(%s)", list(_viewers(0)))
    yield Case("similar_users", "select * from public.similar_users(%s)", list(users))
    yield Case(
        "explain_recommendation", "select * from public.explain_recommendation(%s, %s)",
        [(*u, v) for u, v in zip(users, videos, strict=True)],
    )  # fmt: skip
    for name in ("popular_videos", "new_videos", "trending_videos"):
        yield Case(name, f"{plain}{name}()", [()] * QUERIES)
    yield Case("diversity .3", f"{plain}recommend_videos(%s, p_diversity => .3)", list(users))
    yield Case("rotation .3", f"{plain}recommend_videos(%s, p_rotation => .3)", list(users))
    for place, seen in enumerate(SEEN):
        viewers = _viewers(place)
        yield Case(
            f"{seen:,} seen", f"{plain}recommend_videos(%s)", list(viewers),
            BY_HAND.format(join=UNSEEN), [u * 3 for u in viewers],
        )  # fmt: skip
    for tag, share in SHARES.items():
        condition = f"videos.tag_ids && '{{{tag}}}'::text[]"
        wanted = json.dumps({"tags_any": tag})
        yield Case(
            f"filter {share:.2%}", f"{plain}recommend_videos(%s, {K}, false, %s)",
            [(*u, wanted) for u in users],
            BY_HAND.format(join=FILTERED.format(condition=condition)), [u * 2 for u in users],
            condition,
        )  # fmt: skip


def _viewers(place: int) -> list[tuple[str]]:
    """Return users who have seen `SEEN[place]` videos."""
    mine = [n for n in range(1, VIEWERS + 1) if n % len(SEEN) == place]
    return [(f"user_{mine[n % len(mine)]}",) for n in range(QUERIES)]


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


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


def user_vectors(centres: NDArray[np.float32], rows: int, seed: int) -> NDArray[np.float32]:
    """Return unit vectors ``[rows, 128]`` between two centres each, unlike those of videos."""
    rng = np.random.default_rng(seed)
    first, second = centres[rng.integers(len(centres), size=(2, rows))]
    share = rng.uniform(0.3, 1.0, (rows, 1)).astype(np.float32)
    vectors = share * first + (1 - share) * second
    vectors = vectors + 0.3 * rng.standard_normal(vectors.shape, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_videos(connection: psycopg.Connection, videos: int, centres: NDArray[np.float32]) -> None:
    """Fill two_tower.videos; half of a tag's videos are from some clusters."""
    connection.execute(
        "create table two_tower.videos (video_id uuid, title text, thumbnail_url text,"
        " product_url text, source text, maker text, label text, series text,"
        " price double precision, released_on date, tag_ids text[], performer_ids text[])"
    )
    with connection.cursor() as cursor, cursor.copy("copy two_tower.videos from stdin") as copy:
        for start in range(0, videos, CHUNK):
            rows = min(CHUNK, videos - start)
            cluster = _clusters_of(centres, rows, start + 3)
            rng = np.random.default_rng(start + 7)
            chance, prices = rng.random((rows, len(SHARES))), rng.integers(100, 5_000, rows)
            for row in range(rows):
                place, number = int(cluster[row]), start + row + 1
                tags = [f"cluster_{place}"]
                for column, (tag, share) in enumerate(SHARES.items()):
                    of_cluster = (place * 7919 + column) % round(2 / share) == 0
                    if of_cluster or chance[row, column] < share / 2:
                        tags.append(tag)
                copy.write_row(
                    (
                        _uuid(number), f"Title {number}", f"https://videos.example/{number}.jpg",
                        f"https://videos.example/{number}", f"source_{place % 3}",
                        f"maker_{place % 2_000}", None, None, int(prices[row]), None, tags, [],
                    )
                )  # fmt: skip


def _clusters_of(centres: NDArray[np.float32], rows: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster of each video of `video_vectors` with this seed."""
    weights = 1 / np.sqrt(np.arange(1, len(centres) + 1))
    return np.random.default_rng(seed).choice(len(centres), rows, p=weights / weights.sum())


def land(settings: Settings, dsn: str, world: World) -> None:
    """Fill an empty database with marts, landed vectors and slot vectors."""
    centres = clusters(world.videos)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        with psycopg.connect(dsn, autocommit=True) as connection:
            write_videos(connection, world.videos, centres)
        statements = MARTS.format(
            videos=world.videos, users=world.users, viewers=VIEWERS, vocabulary=VOCABULARY,
            version=VERSION, seen=list(SEEN), kinds=len(SEEN),
        )  # fmt: skip
        for statement in statements.split(";"):
            warehouse.execute(statement)
        with warehouse.transaction():
            landing.clear(warehouse)
            for start in range(0, world.users, CHUNK):
                rows = min(CHUNK, world.users - start)
                users = pa.array([f"user_{start + number + 1}" for number in range(rows)])
                vectors = user_vectors(centres, rows, start + 2)
                landing.write(warehouse, "user", VERSION, [(users, vectors)])
            for start in range(0, world.videos, CHUNK):
                rows = min(CHUNK, world.videos - start)
                ids = pa.array([_uuid(start + number + 1) for number in range(rows)])
                vectors = video_vectors(centres, rows, start + 3)
                landing.write(warehouse, "item", VERSION, [(ids, vectors)])
        for statement in SLOTS.format(version=VERSION, vocabulary=VOCABULARY).split(";"):
            warehouse.execute(statement)


def measure(dsn: str, world: World) -> tuple[list[Figure], list[dict[str, object]]]:
    """Time the queries in turn; return the figures, and the recall of the searches."""
    figures, recalls = [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("select lists, probes from two_tower.model_releases").fetchone()
        assert row is not None
        lists, probes = row
        for setting in (
            f"ivfflat.probes = {probes or lists or 1}",
            "ivfflat.iterative_scan = relaxed_order",
            "jit = off",
        ):
            connection.execute(f"set {setting}")
        for case in cases(world):
            seconds: dict[str, list[float]] = {"ours": [], "bare": [], "by hand": []}
            found = {"ours": 0, "by hand": 0}
            rows, wanted = 0, 0
            for number in range(QUERIES):
                bare = (world.user(number),) * 2
                asked = {"ours": (case.sql, case.params[number]), "bare": (BARE, bare)}
                if case.by_hand and case.by_hand_params:
                    asked["by hand"] = (case.by_hand, case.by_hand_params[number])
                queries, answers = list(asked.items()), {}
                if number % 2:  # the later of two queries finds the lists in the processor's cache
                    queries.reverse()
                for name, (sql, params) in queries:
                    started = time.perf_counter()
                    answers[name] = connection.execute(sql, params).fetchall()
                    seconds[name].append(time.perf_counter() - started)
                rows += len(answers["ours"])
                if case.condition and number < EXACT:
                    scores = exact(connection, case.condition, world.user(number))
                    for name in found:
                        found[name] += sum(s >= scores[-1] - 1e-6 for _, s in answers.get(name, ()))
                    wanted += len(scores)
            # The first calls read the system catalogues.
            for name in ("bare", "by hand"):
                for share in (50, 95, 99):
                    if seconds[name] and (share == 50 or name == "bare"):
                        figures.append(
                            Figure(
                                world.videos,
                                f"{case.name}, p{share}",
                                K,
                                float(np.percentile(seconds["ours"][10:], share)),
                                None,
                                "bare pgvector query" if name == "bare" else "written by hand",
                                float(np.percentile(seconds[name][10:], share)),
                            )
                        )
            recalls.append(
                {
                    "call": case.name,
                    "rows": rows / QUERIES,
                    "recall@20": found["ours"] / wanted if wanted else None,
                    "by hand": found["by hand"] / wanted if wanted and case.by_hand else None,
                }
            )
    return figures, recalls


def exact(connection: psycopg.Connection, condition: str, user: str) -> list[float]:
    """Return the scores of the nearest 20 videos that pass, by exact search."""
    rows = connection.execute(
        "select 1 - (v.embedding <=> u.embedding) as score from public.video_embeddings as v"
        " join two_tower.videos as videos on videos.video_id = v.video_id"
        f" cross join public.user_embeddings as u where {condition} and u.user_id = %s"
        " order by score desc limit 20",
        (user,),
    ).fetchall()
    return [score for (score,) in rows]


def throughput(dsn: str, world: World, seconds: float) -> list[dict[str, object]]:
    """Return queries a second of each call and of the bare query, by the number of clients."""
    bare = Case("bare pgvector query", BARE, [(world.user(n),) * 2 for n in range(QUERIES)])
    found: list[dict[str, object]] = []
    for case in (bare, *cases(world)):
        rates = {}
        for clients in CLIENTS:
            done = [0] * clients
            ends = time.perf_counter() + seconds

            def ask(
                client: int, case: Case = case, done: list[int] = done, ends: float = ends
            ) -> None:
                with psycopg.connect(dsn, autocommit=True) as connection:
                    while time.perf_counter() < ends:
                        number = (done[client] * 17 + client * 31) % QUERIES
                        connection.execute(case.sql, case.params[number]).fetchall()
                        done[client] += 1

            threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates[f"{clients} clients"] = sum(done) / seconds
        found.append({"call": case.name, **rates})
    return found


def run(world: World, folder: Path, seconds: float) -> None:
    """Land, release, measure and report."""
    settings = Settings(target="embedded", project_dir=ROOT, postgres_dir=folder / "pg")
    dsn = embedded.start(settings)
    try:
        print(f"{world.videos:,} videos: landing", flush=True)
        land(settings, dsn, world)
        print("release", flush=True)
        # What `two-tower release` runs, but without the files of a model.
        dbt = [str(BIN / "two-tower"), "dbt", "--"]
        command = [*dbt, "build", "--selector", "release", *NO_UNIT_TESTS]
        done = timed(command, scratch_environment(folder, "embedded"))
        print("queries", flush=True)
        figures, recalls = measure(dsn, world)
        rates = throughput(dsn, world, seconds)
    finally:
        embedded.stop(settings)
    released = Figure(world.videos, "release", world.videos, done.seconds, done.peak_mib)
    report("serving", [released, *figures], recall=recalls, queries_per_second=rates)


def main() -> None:
    """Measure the size given on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measure of throughput")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
    folder.chmod(0o755)
    try:
        run(World(arguments.videos, arguments.users), folder, arguments.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
