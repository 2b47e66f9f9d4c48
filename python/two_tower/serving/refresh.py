"""Refresh: between releases, the serving model embeds new and changed rows into the live tables.

``two-tower refresh`` embeds all users and videos again. One transaction then replaces the served
vectors that moved, adds the new ones and removes those whose user or video is gone. An IVFFLAT
index keeps the centroids of the rows it was built on: once many rows are newer, it is rebuilt
beside the old one, which readers use in the meantime.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from two_tower.core.errors import GateError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.serving import slot_vectors
from two_tower.serving.embed import embed
from two_tower.serving.landing import TABLES

# Cosine distance from which on a vector is replaced. On 6,000 generated reviews a day that passes
# moves no vector by more than 5e-5; one more like moves the median user's by 8e-3, and those of
# 85 % of the users by more than 1e-3.
MOVED = 1e-3
# A refresh that would remove a larger share of the served rows is refused: more likely a file is
# missing. The same as the default of dbt var `removed_share_ceiling`.
LARGEST_REMOVED_SHARE = 0.5
# Least maintenance_work_mem for building an index; macro index_memory says why so much.
INDEX_MEMORY = "1GB"

LOG = """
create table if not exists two_tower.refreshes (
    refreshed_at timestamp not null, release_id bigint not null, version text not null,
    table_name text not null, rows_added bigint not null, rows_changed bigint not null,
    rows_removed bigint not null, is_reindexed boolean not null
)"""


@dataclass(frozen=True)
class Changes:
    """What a refresh did to one served table."""

    added: int
    changed: int
    removed: int
    is_reindexed: bool


@dataclass(frozen=True)
class RefreshResult:
    """The version that embedded, and what changed in the two served tables."""

    version: str
    users: Changes
    videos: Changes
    seconds: float


def refresh(settings: Settings) -> RefreshResult:
    """Bring the served vectors up to date with the features that dbt built last.

    Raises:
        NotEnoughDataError: nothing has been released, or there are no features.
        GateError: the serving model was trained on other features, a vector does not have length
            1, or most of the served rows would be removed. The served tables are unchanged then.
    """
    started = time.perf_counter()
    with open_warehouse(settings) as warehouse:
        release_id, version = _serving(warehouse)
        as_of = slot_vectors.features_as_of(warehouse)
    embed(settings, version)
    moment = datetime.now(UTC).replace(tzinfo=None)
    with open_warehouse(settings) as warehouse:
        warehouse.execute(LOG)
        with warehouse.transaction():
            counts = {base: _update(warehouse, base, key) for base, key in TABLES.values()}
            for base, (added, changed, removed) in counts.items():
                warehouse.execute(
                    "insert into two_tower.refreshes values (?, ?, ?, ?, ?, ?, ?, false)",
                    (moment, release_id, version, base, added, changed, removed),
                )
            slot_vectors.refreshed(warehouse, version, as_of)
        users, videos = (
            Changes(*counts[base], _reindex_if_due(warehouse, base, release_id, settings))
            for base, _ in TABLES.values()
        )
    return RefreshResult(version, users, videos, round(time.perf_counter() - started, 2))


def _serving(warehouse: Warehouse) -> tuple[int, str]:
    rows = last_releases(warehouse, 1)
    if not rows:
        raise NotEnoughDataError("nothing has been released yet", "two-tower run releases a model")
    return int(rows[0]["release_id"]), str(rows[0]["version"])


def _update(warehouse: Warehouse, base: str, key: str) -> tuple[int, int, int]:
    """Make a served table equal to the landed one, in the caller's transaction.

    Returns:
        the numbers of rows added, changed and removed.
    """
    served, landed = f"public.{base}", f"two_tower.{base}_landing"
    if warehouse.dialect == "postgres":
        operator = f"operator({ddl.pgvector_schema(warehouse)}.<=>)"
        distance = f"served.embedding {operator} landed.embedding"
    else:
        distance = "array_cosine_distance(served.embedding, landed.embedding)"
    gone = f"not exists (select 1 from {landed} as landed where landed.{key} = served.{key})"
    total, removed = warehouse.fetch(
        f"select count(*) as total, count(*) filter (where {gone}) as gone from {served} as served"
    )[0].values()
    if removed > LARGEST_REMOVED_SHARE * total:
        raise GateError(
            f"{removed} of the {total} rows of {served} would be removed: nothing was changed",
            "check that the catalogue is complete; if so many rows are really gone: two-tower run",
        )
    warehouse.execute(
        f"create temporary table stale as select landed.{key}, served.{key} is null as is_new"
        f" from {landed} as landed left join {served} as served on served.{key} = landed.{key}"
        f" where served.{key} is null or {distance} > {MOVED}"
    )
    added, changed = warehouse.fetch(
        "select count(*) filter (where is_new) as added, count(*) filter (where not is_new)"
        " as changed from stale"
    )[0].values()
    warehouse.execute(
        f"delete from {served} as served where {gone}"
        f" or exists (select 1 from stale where stale.{key} = served.{key})"
    )
    warehouse.execute(
        f"insert into {served} ({key}, embedding) select landed.{key}, landed.embedding"
        f" from {landed} as landed join stale on stale.{key} = landed.{key}"
    )
    warehouse.execute("drop table stale")
    return int(added), int(changed), int(removed)


def _reindex_if_due(warehouse: Warehouse, base: str, release_id: int, settings: Settings) -> bool:
    """Rebuild the index of a served table if too many of its rows are newer than the index."""
    index = f"idx_{base}_cosine"
    if warehouse.dialect != "postgres":
        return False
    _drop_half_built(warehouse, index)
    rows = warehouse.fetch(
        "select coalesce(sum(rows_added + rows_changed), 0) as new_rows,"
        f" (select count(*) from public.{base}) as total, to_regclass(?) is not null as is_there"
        " from two_tower.refreshes where table_name = ? and release_id = ? and refreshed_at >"
        " coalesce((select max(refreshed_at) from two_tower.refreshes"
        "  where table_name = ? and release_id = ? and is_reindexed), '-infinity')",
        (f"public.{index}", base, release_id, base, release_id),
    )[0]
    if not rows["is_there"] or rows["new_rows"] < settings.reindex_share * max(rows["total"], 1):
        return False
    warehouse.execute(
        "select set_config('maintenance_work_mem', greatest("
        "pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes(?)) / 1024 || 'kB',"
        " false)",
        (INDEX_MEMORY,),
    )
    warehouse.execute(f"reindex index concurrently public.{index}")
    warehouse.execute(
        "update two_tower.refreshes set is_reindexed = true where table_name = ?"
        " and refreshed_at = (select max(refreshed_at) from two_tower.refreshes)",
        (base,),
    )
    return True


def _drop_half_built(warehouse: Warehouse, index: str) -> None:
    """Drop the index that an interrupted rebuild left: writes maintain it, no query uses it."""
    left = warehouse.fetch(
        "select c.oid::regclass::text as name from pg_index as i join pg_class as c"
        " on c.oid = i.indexrelid where not i.indisvalid and c.relnamespace ="
        " 'public'::regnamespace and starts_with(c.relname, ?)",
        (f"{index}_cc",),
    )
    for row in left:
        warehouse.execute(f"drop index concurrently if exists {row['name']}")
