"""A run killed at random moments, twenty times in a row."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from faults.world import new_world, served

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("random")]

TIMES = 20


def test_killed_at_random(capsys: pytest.CaptureFixture[str]) -> None:
    """A run killed at a random moment, twenty times in a row."""
    with new_world() as world:
        started = time.monotonic()
        world.converges()
        whole_run = time.monotonic() - started
        known = [served(world.dsn)]
        for number in range(TIMES):
            seed = int(os.environ.get("FAULTS_SEED", time.time_ns() % 1_000_000)) + number
            # A run that goes on where the last was cut short takes a fraction of the whole.
            moment = random.Random(seed).uniform(0.5, whole_run if number % 4 == 0 else 12)
            if number % 4 == 0:
                world.deliver()
            process = world.begin("run")
            time.sleep(moment)
            is_over = process.poll() is not None
            if not is_over:
                os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            world.nobody_writes()
            found = world.holds()
            if found not in known:
                assert found.version not in [one.version for one in known], "half a release"
                known.append(found)
            with capsys.disabled():
                state = "had ended" if is_over else "killed"
                print(f"\n  seed {seed}: {state} after {moment:.1f} s, {found.version} serves")
        last = world.converges()
        assert world.converges() == last
