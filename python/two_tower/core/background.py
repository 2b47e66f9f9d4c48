"""Calls in the background, each on a thread of its own; iterators that run one step ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

# How long :func:`cancel_all` waits for all threads together: a person has pressed Ctrl-C.
CANCEL_SECONDS = 3.0


class StoppedError(Exception):
    """The call was cancelled."""


class _Thread(threading.Thread):
    def __init__(self, run: Callable[[], None]) -> None:
        # A daemon: Ctrl-C must not wait for a matrix inversion.
        super().__init__(target=run, name="background", daemon=True)
        self.cancelled = threading.Event()


def background(call: Callable[[], T]) -> Future[T]:
    """Start a call on a thread of its own and return its future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    _Thread(run).start()
    return future


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield what an iterator yields; while one is used, the next is made on a thread."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        following: Future[T | object] = pool.submit(next, items, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, items, end)
            yield cast(T, item)


def raise_if_cancelled() -> None:
    """Raise StoppedError if this background call was cancelled; otherwise return."""
    thread = threading.current_thread()
    if isinstance(thread, _Thread) and thread.cancelled.is_set():
        raise StoppedError


def cancel_all() -> None:
    """Cancel all background calls, and wait for those that call :func:`raise_if_cancelled`.

    If a thread is inside torch when the interpreter exits, the process aborts. So a background call
    calls :func:`raise_if_cancelled` before it calls torch.
    """
    threads = [each for each in threading.enumerate() if isinstance(each, _Thread)]
    for thread in threads:
        thread.cancelled.set()
    until = time.monotonic() + CANCEL_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
