"""A reader that holds the served tables while a release wants to exchange them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import psycopg
import pytest

from faults.world import new_world, served

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("postgres")]

HELD_SECONDS = 60
IS_WAITING = (
    "select exists (select from pg_locks where not granted and mode = 'AccessExclusiveLock'"
    " and relation = any (array['public.user_embeddings', 'public.video_embeddings']::regclass[]))"
)


@dataclass
class Reader:
    """Asks for recommendations in a loop."""

    dsn: str
    stopped: threading.Event = field(default_factory=threading.Event)
    slowest: float = 0.0
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.stopped.is_set():
                started = time.monotonic()
                rows = connection.execute("select * from recommend_videos('nobody', 20)").fetchall()
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.answers += 1
                if len(rows) != 20:
                    self.wrong.append(str(rows))
                time.sleep(0.01)


def test_a_reader_holds_the_table_for_a_minute() -> None:
    """A reader holds the table for a minute: the swap waits in small doses, new readers go on."""
    with new_world() as world:
        world.converges()
        before = served(world.dsn)
        world.deliver()
        reader = Reader(world.dsn)
        thread = threading.Thread(target=reader.run)
        with psycopg.connect(world.dsn) as holder:
            holder.execute("select 1 from public.video_embeddings limit 1")
            process = world.begin("run", TWO_TOWER_RETRY_SECONDS="300")
            world.wait_until(IS_WAITING, process)
            thread.start()
            time.sleep(HELD_SECONDS)
            assert process.poll() is None, world.printed(process)
            world.holds(before)
            assert reader.answers > 100
        code, printed = world.end(process)
        reader.stopped.set()
        thread.join()
        assert code == 0, printed[-5000:]
        assert "trying again" in printed
        assert world.holds().version != before.version
        assert reader.wrong == []
        # lock_timeout is half a second, and the machine is busy with the run besides.
        assert reader.slowest < 1
