"""``kill -9`` at each step of one run after another: each begins where the last was killed.

So the tests stand in the order of the steps, and share one installation. That the next gets past
the point where the last was killed shows that a run goes on by itself; the last one ends it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from faults.world import Served, World, new_world, served
from two_tower.core.errors import ExitCode

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("kills")]

# Test tools in the database: they hold a backend still in the middle of what it does.
STALL = """
create or replace function public.stall() returns event_trigger language plpgsql as
$$ begin perform pg_sleep(4); end $$
"""
STALL_INDEX = """
create event trigger stall on ddl_command_end when tag in ('CREATE INDEX')
execute function public.stall()
"""
STALL_COMMIT = """
create or replace function public.stall_commit() returns trigger language plpgsql as
$$ begin perform pg_sleep(4); return null; end $$;
create constraint trigger stall after insert on two_tower.model_releases
deferrable initially deferred for each row execute function public.stall_commit()
"""
IS_STALLED = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A release that serves, an index under it, and news that the next run would serve."""
    with new_world(videos=1_100) as made:
        made.converges()
        made.deliver()
        yield made


@pytest.fixture(scope="module")
def before(world: World) -> Served:
    return served(world.dsn)


def kill_when(world: World, sql: str) -> None:
    """Begin a run, and kill it (and not what it has started) once a query answers true."""
    process = world.begin("run")
    world.wait_until(sql, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    world.nobody_writes()


def test_load(world: World, before: Served) -> None:
    """kill -9 in load, in the middle of a file."""
    world.killed_at("load", "run")
    world.holds(before)


def test_build(world: World, before: Served) -> None:
    """kill -9 in dbt build: dbt ends with the run."""
    building = (
        "select exists (select from pg_stat_activity where application_name = 'dbt'"
        " and query ilike '%create %table%two_tower%')"
    )
    kill_when(world, building)
    world.holds(before)


def test_epoch(world: World, before: Served) -> None:
    """kill -9 in training, after an epoch's checkpoint."""
    world.killed_at("epoch", "run", number=2)
    runs = sorted((world.folder / "runs").glob("*/checkpoint.pt"))
    assert len(runs) == 1
    world.holds(before)


def test_clean_up(world: World, before: Served) -> None:
    """kill -9 in the clean-up after training, which went on with the interrupted run."""
    begun = {path.parent.name for path in (world.folder / "runs").glob("*/checkpoint.pt")}
    # The folder of the run that was not needed is removed first.
    world.killed_at("clean-up", "run", number=2)
    finished = {path.parent.name for path in (world.folder / "runs").glob("*/towers.pt")}
    assert begun <= finished
    world.holds(before)


def test_evaluate(world: World, before: Served) -> None:
    """kill -9 in evaluate, between two of its rows."""
    world.killed_at("evaluate", "run", number=3)
    world.holds(before)


def test_export(world: World, before: Served) -> None:
    """kill -9 in export, before the first upload."""
    world.killed_at("export", "run")
    world.holds(before)


def test_upload(world: World, before: Served) -> None:
    """kill -9 in export, in the middle of an upload."""
    world.killed_at("half an upload", "run", number=2)
    world.holds(before)


def test_embed(world: World, before: Served) -> None:
    """kill -9 in embed, between two batches."""
    world.killed_at("embed", "run", number=2)
    world.holds(before)


def test_index(world: World, before: Served) -> None:
    """kill -9 while the index is built."""
    world.execute(STALL, STALL_INDEX)
    try:
        kill_when(world, IS_STALLED)
    finally:
        world.execute("drop event trigger stall")
    world.wait_until(f"select not ({IS_STALLED.removeprefix('select ')})")
    world.holds(before)


def test_before_commit(world: World, before: Served) -> None:
    """kill -9 just before the swap's COMMIT."""
    world.execute(STALL_COMMIT)
    try:
        kill_when(world, IS_STALLED)
    finally:
        world.wait_until(f"select not ({IS_STALLED.removeprefix('select ')})")
        world.execute("drop trigger stall on two_tower.model_releases")
    # The server had begun to commit, and may have gone on without its client.
    world.holds()


def test_after_commit(world: World) -> None:
    """kill -9 just after the swap's COMMIT."""
    world.converges()
    world.deliver()
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute("select max(release_id) from two_tower.model_releases").fetchone()
    assert row is not None
    former = served(world.dsn)
    kill_when(world, f"select max(release_id) > {row[0]} from two_tower.model_releases")
    now = world.holds()
    assert now.version != former.version
    assert world.converges() == now


def test_clean_up_of_old_versions(world: World) -> None:
    """kill -9 in the clean-up behind a release, between two files of an old version."""
    few = {"TWO_TOWER_KEEP_VERSIONS": "2"}
    while len(world.registry.versions()) < 3:
        world.deliver()
        world.converges()
    oldest = world.registry.versions()[0]
    former = served(world.dsn)
    world.deliver()
    world.killed_at("old versions", "run", **few)
    now = world.holds()
    assert now.version != former.version
    assert oldest not in world.registry.versions()
    assert oldest in world.registry.stored_versions(), "half of it is left"
    world.deliver()
    world.converges(now, **few)
    assert oldest not in world.registry.stored_versions()


def test_two_at_once(world: World) -> None:
    """Two runs at once: the second is told so within seconds and writes nothing."""
    world.deliver()
    former = served(world.dsn)
    first = world.begin("run")
    world.wait_until(
        "select exists (select from pg_locks where locktype = 'advisory' and granted)", first
    )
    started = time.monotonic()
    code, printed = world.run("run")
    assert code == ExitCode.BUSY, printed
    assert time.monotonic() - started < 15  # most of it is Python's start beside a busy run
    assert f"process {first.pid} on" in printed
    world.holds(former)
    code, printed = world.end(first)
    assert code == 0, printed
    assert world.holds().version != former.version
