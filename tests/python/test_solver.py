import threading

import pytest

from two_tower.solver import ahead


def test_a_call_ahead_goes_on_beside_its_caller():
    begun, go_on = threading.Event(), threading.Event()
    future = ahead(lambda: (begun.set(), go_on.wait(10)))
    assert begun.wait(10)
    assert not future.done()
    go_on.set()
    assert future.result(10)


def test_what_goes_wrong_ahead_reaches_who_asks_for_the_result():
    def fail():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        ahead(fail).result(10)
