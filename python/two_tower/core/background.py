"""Calls that go on beside their caller, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

# Seconds that are waited for a thread to notice that it is no longer wanted.
PATIENCE = 3.0


class StoppedError(Exception):
    """The call's result is no longer wanted."""


class _Ahead(threading.Thread):
    def __init__(self, run: Callable[[], None]) -> None:
        # Ctrl-C need not wait for a matrix that is being inverted.
        super().__init__(target=run, name="ahead", daemon=True)
        self.stopped = threading.Event()


def ahead(call: Callable[[], T]) -> Future[T]:
    """Begin a call on a thread of its own, and return its future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    _Ahead(run).start()
    return future


def go_on() -> None:
    """Do nothing, but in a call whose result is no longer wanted.

    Raises:
        StoppedError: it is not.
    """
    thread = threading.current_thread()
    if isinstance(thread, _Ahead) and thread.stopped.is_set():
        raise StoppedError


def stop() -> None:
    """Tell all calls that their results are no longer wanted, and wait for those that ask.

    A thread that is inside torch when the interpreter ends takes the whole process down with an
    abort: what goes on ahead asks :func:`go_on` before it goes there.
    """
    threads = [each for each in threading.enumerate() if isinstance(each, _Ahead)]
    for thread in threads:
        thread.stopped.set()
    for thread in threads:
        thread.join(PATIENCE)
