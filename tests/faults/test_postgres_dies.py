"""Postgres stopped immediately (as in a power cut) in the middle of steps of one and the same run.

The tests stand in the order of the steps: the run is begun by the first and ended by the last.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from faults.world import Served, World, new_world, served

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("postgres")]

WAITS = (
    "select exists (select from pg_locks where not granted and relation = to_regclass('{table}'))"
)
STALL = """
create or replace function public.stall() returns trigger language plpgsql as
$$ begin perform pg_sleep(60); return null; end $$;
create constraint trigger stall after insert on two_tower.model_releases
deferrable initially deferred for each row execute function public.stall()
"""


@dataclass
class Story:
    world: World
    before: Served
    process: Any = None


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with new_world() as world:
        world.converges()
        world.deliver()
        yield Story(world, served(world.dsn))


def stop_while_waiting_for(story: Story, table: str) -> None:
    """Stop Postgres while the run waits, in a transaction, for a table that another has locked."""
    world = story.world
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(world.dsn) as other:
        other.execute(f"lock table {table} in access exclusive mode")  # type: ignore[arg-type]
        world.wait_until(WAITS.format(table=table), story.process)
        world.stop_postgres()
    time.sleep(2)
    assert story.process.poll() is None, world.printed(story.process)
    world.start_postgres()
    world.holds(story.before)


def test_down_at_the_start_and_in_load(story: Story) -> None:
    """Postgres down for a while at the start, then pg_ctl stop -m immediate in load."""
    world = story.world
    world.stop_postgres("fast")
    story.process = world.begin("run")
    time.sleep(5)
    assert story.process.poll() is None, world.printed(story.process)
    assert "trying again" in world.printed(story.process)
    # The next pause is of four seconds: time enough to be before the run at the table.
    world.start_postgres()
    stop_while_waiting_for(story, "raw.reviews")


def test_in_embed(story: Story) -> None:
    """pg_ctl stop -m immediate in embed."""
    stop_while_waiting_for(story, "two_tower.user_embeddings_landing")


def test_in_swap(story: Story) -> None:
    """pg_ctl stop -m immediate in the swap, before its COMMIT."""
    world = story.world
    world.execute(STALL)
    world.wait_until(
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep')", story.process
    )
    world.stop_postgres()
    time.sleep(1)
    world.start_postgres()
    world.execute("drop trigger stall on two_tower.model_releases")
    world.holds(story.before)


def test_the_run_ends_well(story: Story) -> None:
    """… and the run that went through all of this ends well."""
    code, printed = story.world.end(story.process)
    assert code == 0, printed[-5000:]
    now = story.world.holds()
    assert now.version != story.before.version
    assert story.world.converges() == now
