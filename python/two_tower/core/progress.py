"""Progress bars on a terminal, and warnings, all on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)


def warn(text: str) -> None:
    """Print a warning on stderr at once."""
    console.print(f"warning: {text}", soft_wrap=True, markup=False, highlight=False)


class Bar:
    """One bar: ``advance`` by a number of units, ``note`` to show figures beside it."""

    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, note="")

    def advance(self, units: float = 1) -> None:
        """Move the bar on by ``units``."""
        self._progress.advance(self._task, units)

    def total(self, total: float) -> None:
        """Set the number of units once it is known."""
        self._progress.update(self._task, total=total)

    def note(self, text: str) -> None:
        """Show ``text`` behind the bar."""
        self._progress.update(self._task, note=text)


@contextmanager
def bar(description: str, total: float | None = None) -> Iterator[Bar]:
    """Show a progress bar on stderr while the block runs.

    Args:
        description: what is being done.
        total: units in all; ``None`` where that is not known yet.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        shown = Bar(progress, description, total)
        yield shown
