import subprocess
import sys
import threading
import time

import pytest

from two_tower.core.background import StoppedError, ahead, go_on, stop


def test_a_call_ahead_goes_on_beside_its_caller():
    begun, proceed = threading.Event(), threading.Event()
    future = ahead(lambda: (begun.set(), proceed.wait(10)))
    assert begun.wait(10)
    assert not future.done()
    proceed.set()
    assert future.result(10)


def test_what_goes_wrong_ahead_reaches_who_asks_for_the_result():
    def fail():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        ahead(fail).result(10)


def test_what_is_no_longer_wanted_ends_where_it_asks():
    def forever():
        while True:
            go_on()
            time.sleep(0.01)

    future = ahead(forever)
    go_on()  # who is not ahead is wanted
    stop()
    with pytest.raises(StoppedError):
        future.result(0)


PROGRAM = """
import sys, time, torch
from two_tower.core.background import ahead, go_on, stop

def rank():
    scores = torch.rand(600, 600)
    while True:
        go_on()
        for _ in range(20):
            (scores @ scores).topk(100)

ahead(rank)
time.sleep(0.5)
{stop}
sys.exit(130)
"""


def test_a_program_ends_as_it_wants_to_while_something_goes_on_in_torch():
    program = PROGRAM.replace("{stop}", "stop()")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 130
