"""What has to hold after every fault.

I1: ``recommend_videos`` answers with valid rows of one release: that before, or the whole new one.
I3: ``two_tower_latest.json`` names files that exist and match their sha256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from two_tower.artifacts.descriptions import LATEST_JSON
from two_tower.artifacts.registry import Registry

# Users asked, and videos wanted of each.
ASKED, WANTED = 10, 20
# What half precision keeps of a cosine.
TOLERANCE = 2e-3

# Which of the invariants were checked since the list was emptied, for the table of faults.
CHECKED: set[str] = set()

DIGEST = (
    "select md5(coalesce(string_agg(md5(t::text), '' order by md5(t::text)), ''))"
    " from public.{base} as t"
)
ANSWER = """
select r.rank, r.score, r.video_id::text, v.video_id is not null as is_in_catalogue,
    1 - (e.embedding operator({pgvector}.<=>) u.embedding) as cosine
from public.recommend_videos(%(user)s, %(wanted)s) as r
left join two_tower.videos as v on v.video_id = r.video_id
left join public.user_embeddings as u on u.user_id = %(user)s
left join public.video_embeddings as e on e.video_id = r.video_id
order by r.rank
"""


@dataclass(frozen=True)
class Served:
    """What is served: two are equal where every vector of both tables is."""

    version: str | None
    users: str
    videos: str


def served(dsn: str) -> Served:
    """Return what is served now, in one snapshot."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        return _served(connection)


def answers_of_one_release(dsn: str, expected: Collection[Served] | None = None) -> Served:
    """I1: users with a vector, and one without, get valid rows of one release.

    Args:
        dsn: of the database, which must hold the serving functions.
        expected: what may be served: what :func:`served` returned before the fault, and what it
            returns after the whole of a run.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        found = _served(connection)
        assert expected is None or found in expected, f"{found} is none of {expected}"
        row = connection.execute("select count(*) from two_tower.videos").fetchone()
        assert row is not None
        users = connection.execute(
            "select user_id from public.user_embeddings order by md5(user_id) limit %s", (ASKED,)
        ).fetchall()
        for (user,) in [*users, ("nobody has this name",)]:
            _check_answer(connection, user, row[0])
    CHECKED.add("I1")
    return found


def latest_matches(registry: Registry) -> str | None:
    """I3: return the version of the registry's latest, None where nothing was published.

    Every byte is read from the storage, not from the local cache.
    """
    if LATEST_JSON not in registry.storage.names():
        return None
    meta = json.loads(registry.storage.read(LATEST_JSON))
    checksum = meta.pop("checksum")
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert checksum == hashlib.sha256(text.encode()).hexdigest(), "latest.json is not what it was"
    for name, sha256 in meta["sha256"].items():
        found = hashlib.sha256(registry.storage.read(name)).hexdigest()
        assert found == sha256, f"{name} is not the file that {LATEST_JSON} names"
    CHECKED.add("I3")
    return str(meta["version"])


def _served(connection: psycopg.Connection) -> Served:
    def one(sql: str) -> str | None:
        row = connection.execute(sql).fetchone()
        return None if row is None else row[0]

    has_releases = one("select to_regclass('two_tower.model_releases')::text") is not None
    version = "select version from two_tower.model_releases order by release_id desc limit 1"
    digests = [str(one(DIGEST.format(base=f"{name}_embeddings"))) for name in ("user", "video")]
    return Served(one(version) if has_releases else None, *digests)


def _check_answer(connection: psycopg.Connection, user: str, videos: int) -> None:
    pgvector = connection.execute(
        "select quote_ident(n.nspname) from pg_extension as e"
        " join pg_namespace as n on n.oid = e.extnamespace where e.extname = 'vector'"
    ).fetchone()
    assert pgvector is not None
    rows = connection.execute(
        ANSWER.format(pgvector=pgvector[0]), {"user": user, "wanted": WANTED}
    ).fetchall()
    seen = connection.execute(
        "select count(distinct item_id) from two_tower.interactions where user_id = %s", (user,)
    ).fetchone()
    assert seen is not None
    least = min(WANTED, videos - seen[0])
    assert least <= len(rows) <= WANTED, f"{len(rows)} rows for {user}, {videos} videos"
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    scores = [row[1] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len({row[2] for row in rows}) == len(rows)
    assert all(row[3] for row in rows), "a video that is not in the catalogue"
    if seen[0] < videos and all(row[4] is not None for row in rows):
        # Both vectors are of the release whose scores these are.
        assert all(abs(row[1] - row[4]) < TOLERANCE for row in rows), rows
