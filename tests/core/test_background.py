import subprocess
import sys
import threading
import time

import pytest

from two_tower.core.background import (
    StoppedError,
    ahead,
    background,
    cancel_all,
    raise_if_cancelled,
)


def test_a_background_call_runs_beside_its_caller():
    begun, proceed = threading.Event(), threading.Event()
    future = background(lambda: (begun.set(), proceed.wait(10)))
    assert begun.wait(10)
    assert not future.done()
    proceed.set()
    assert future.result(10)


def test_what_goes_wrong_in_the_background_reaches_who_asks_for_the_result():
    def fail():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        background(fail).result(10)


def test_a_cancelled_call_ends_where_it_asks():
    def forever():
        while True:
            raise_if_cancelled()
            time.sleep(0.01)

    future = background(forever)
    raise_if_cancelled()  # who is not in the background is not cancelled
    cancel_all()
    with pytest.raises(StoppedError):
        future.result(0)


PROGRAM = """
import sys, time, torch
from two_tower.core.background import background, cancel_all, raise_if_cancelled

def rank():
    scores = torch.rand(600, 600)
    while True:
        raise_if_cancelled()
        for _ in range(20):
            (scores @ scores).topk(100)

background(rank)
time.sleep(0.5)
{stop}
sys.exit(130)
"""


def test_a_program_ends_as_it_wants_to_while_something_goes_on_in_torch():
    program = PROGRAM.replace("{stop}", "cancel_all()")
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 130


def test_an_iterator_runs_one_step_ahead_and_no_further():
    made, proceed = [], threading.Event()

    def items():
        for number in range(4):
            made.append(number)
            if number == 1:
                proceed.set()
            yield number

    found = ahead(items())
    assert next(found) == 0
    assert proceed.wait(10)  # the next one is made before anybody asks
    assert [0, *found] == [0, 1, 2, 3]
    assert made == [0, 1, 2, 3]


def test_what_goes_wrong_ahead_comes_after_what_went_well():
    def items():
        yield 1
        raise ValueError("no such thing")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no such thing"):
        next(found)
