"""Memory and seconds of `two-tower train` at two million users and a catalogue of 300,000 videos.

    python -m benchmarks.scale                                 # half an hour or more
    python -m benchmarks.scale --users 50000 --videos 60000    # a small one, in some minutes

The tables that dbt would write are generated in a scratch DuckDB: users with two tastes each,
videos with one, long-tailed popularity, vocabularies at the limits of dbt_project.yml. Training
reads them like any others, for one epoch of search and one of the final fit, with batches of 1,024
users. Only memory and time are meaningful, not quality.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import duckdb

from benchmarks.harness import Figure, report
from benchmarks.quality.scratch import Scratch, scratch_folder

LIMIT_GIB = 12
TASTES, TAGS, MAKERS, KNOWN_VIDEOS = 200, 5_000, 5_000, 20_000
# feature_id, tower, feature, kind, position, vocabulary, width
LAYOUT = """
    (1, 'user', 'preferred_tags', 'multi_hot', 1, 'tag', {tags}),
    (2, 'user', 'positive_ratio', 'numeric', 2, null, 1),
    (3, 'user', 'relevant', 'history', 3, 'video', {known}),
    (4, 'user', 'reviewed', 'history', 4, 'video', {known}),
    (5, 'item', 'tags', 'multi_hot', 1, 'tag', {tags}),
    (6, 'item', 'maker', 'one_hot', 2, 'maker', {makers}),
    (7, 'item', 'price', 'numeric', 3, null, 1),
    (8, 'item', 'video_id', 'identity', 4, 'video', {known}),
    (9, 'user', 'recent', 'recency', 5, 'video', {known})
"""
# A video's taste is its number modulo TASTES; low numbers are popular, in each taste as overall.
TABLES = """
create schema two_tower;
create table two_tower.feature_layout as
    select id::smallint as feature_id, tower, feature, kind, place::integer as position, vocabulary,
        width::integer as width, 'planted' as layout_hash
    from (values {layout}) as rows (id, tower, feature, kind, place, vocabulary, width);
create table two_tower.feature_layout_versions as
    select 1::integer as input_schema_version, 'planted' as layout_hash,
        timestamp '2026-01-01' as first_seen_at;
create table two_tower.item_feature_slots as
    select v::text as video_id, v::integer as item_number,
        ([5, 5, 5, 6, 7] || case when v < {known} then [8] else [] end)::smallint[] as feature_ids,
        ([v % {tastes}, {tastes} + hash(v) % 400, 600 + hash(v, 1) % 4400, hash(v, 2) % {makers}, 0]
            || case when v < {known} then [v] else [] end)::integer[] as indices,
        ([1, 1, 1, 1, (hash(v, 3) % 1000) / 1000.0]
            || case when v < {known} then [1.0] else [] end)::real[] as "values"
    from range({videos}) as videos (v);
create table two_tower.training_users as
with reviews as (
    select distinct on (u, video)
        u,
        least(
            floor(pow(hash(u, n, 1) / 18446744073709551616.0, 3) * {videos} / {tastes})::bigint
                * {tastes}
                + case when hash(u, n, 2) % 3 = 0 then hash(u, 3) % {tastes}
                    else hash(u, 4) % {tastes} end,
            {videos} - 1
        )::integer as video,
        (hash(u, n, 5) % 10 < 7)::smallint as label,
        (hash(u, n, 6) % 5)::smallint as fold
    from range({users}) as users (u), range(18) as numbers (n)
    where n < 4 + hash(u) % 15
),
users as (
    select u,
        list(video order by video) as items,
        list(label order by video) as labels,
        list(fold order by video) as folds,
        list(0.25 + 0.75 * label order by video) as relevances,
        list(0.25 + 0.75 * label order by video) filter (where video < {known}) as grades,
        list(video order by video) filter (where video < {known}) as known,
        avg(label) as ratio
    from reviews group by u
),
filled as (
    select * replace (coalesce(grades, []) as grades, coalesce(known, []) as known) from users
)
select 'u' || lpad(u::text, 9, '0') as user_id,
    ([1, 1, 2] || list_transform(known, lambda v: 3)
        || list_transform(known, lambda v: 4)
        || list_transform(known, lambda v: 9))::smallint[] as feature_ids,
    ([least(hash(u, 3) % {tastes}, hash(u, 4) % {tastes}), 200 + hash(u, 7) % 400, 0]
        || known || known || known)::integer[] as indices,
    ([1, 1, ratio] || grades
        || list_transform(known, lambda v: 1)
        || list_transform(known, lambda v, place: exp((1 - place) / 5.0)))::real[] as "values",
    items as item_numbers, labels, list_transform(relevances, lambda v: sqrt(v))::real[] as weights,
    relevances::real[] as relevances, folds,
    list_transform(items, lambda v, place: place - 1)::integer[] as recency_ranks
from filled
"""


def plant(path: Path, users: int, videos: int) -> int:
    """Write the tables; return how many reviews they hold."""
    known = min(KNOWN_VIDEOS, videos)
    statements = TABLES.format(
        layout=LAYOUT.format(tags=TAGS, makers=MAKERS, known=known),
        known=known,
        tastes=TASTES,
        makers=MAKERS,
        users=users,
        videos=videos,
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute("set preserve_insertion_order = false")
        connection.execute(statements)
        found = connection.execute("select sum(len(labels)) from two_tower.training_users")
        return int(found.fetchall()[0][0])


def main() -> None:
    """Plant, train, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--videos", type=int, default=300_000)
    given = parser.parse_args()
    users, videos = given.users, given.videos
    with scratch_folder() as folder:
        project = Scratch(folder, "duckdb")
        project.env["TWO_TOWER_TRAIN__BATCH_SIZE"] = "1024"
        reviews = plant(project.settings.path(project.settings.duckdb_path), users, videos)
        print(f"{users:,} users, {videos:,} videos, {reviews:,} reviews", flush=True)
        done = project.two_tower("train", "--epochs", "1", "--json")
    print(json.dumps(json.loads(done.output[done.output.index("{") :]), indent=1))
    print(f"peak memory {done.peak_mib / 1024:.1f} GiB; wanted at most {LIMIT_GIB}")
    stage = f"train, {videos:,} videos"
    report("scale", [Figure(users, stage, reviews, done.seconds, done.peak_mib)])


if __name__ == "__main__":
    main()
