"""Runs ``two-tower ARGUMENTS`` and kills itself (SIGKILL) at a named point of it.

``python killed.py POINT [NUMBER] -- ARGUMENTS``: at the NUMBERth time that the point is passed. The
points are put in from outside, here: the package knows nothing of them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

POINTS: dict[str, tuple[str, str, str]] = {
    # name: (module, function, whether the kill comes before or after it)
    "load": ("two_tower.database.bulk_insert", "append", "after"),
    "epoch": ("two_tower.training.tasks", "Checkpoint._write", "after"),
    "trained": ("two_tower.core.files", "write_json", "before"),
    "clean-up": ("shutil", "rmtree", "before"),
    "evaluate": ("two_tower.evaluation.results_tables", "_write_slice", "after"),
    "export": ("two_tower.artifacts.export", "check_parity", "after"),
    "upload": ("two_tower.artifacts.storage", "Storage.write", "after"),
    "half an upload": ("two_tower.artifacts.storage", "os.fsync", "before"),
    "embed": ("two_tower.database.binary_copy", "vectors", "after"),
    "old versions": ("two_tower.artifacts.storage", "Storage.remove", "after"),
}


def die() -> None:
    """Die as in a power cut: no handler, no finally, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, number: int) -> None:
    """Let this process die at a point."""
    if point == "after seconds":
        timer = threading.Timer(number / 1000, die)
        timer.daemon = True
        timer.start()
        return
    module_name, path, when = POINTS[point]
    owner: Any = __import__(module_name, fromlist=["_"])
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real: Callable[..., Any] = getattr(owner, name)
    passed = 0

    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal passed
        passed += 1
        if when == "before" and passed == number:
            die()
        result = real(*arguments, **named)
        if when == "after" and passed == number:
            die()
        return result

    setattr(owner, name, deadly)


def main() -> None:
    """Run the command line."""
    split = sys.argv.index("--")
    point, *rest = sys.argv[1:split]
    arguments = sys.argv[split + 1 :]
    arm(point, int(rest[0]) if rest else 1)
    from two_tower.interfaces import cli

    sys.argv = ["two-tower", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
