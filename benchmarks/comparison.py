"""Ours beside a peer, in turns in one run: the ratio of each round, its median and its spread."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.harness import RESULTS, Figure

ROW = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Seconds of each round and the largest peak memory, of ours and of what is beside it.

    Attributes:
        size: number of reviews.
        ours: what of ours was measured.
        peer: what was measured beside it.
        seconds: of ours, one a round.
        peer_seconds: of the peer in the same rounds.
        peak_mib: of ours; None if it is a server's.
        peer_peak_mib: of the peer.
        goal: the ratio that is wanted at most; None if there is none at this size.
    """

    size: int
    ours: str
    peer: str
    seconds: list[float]
    peer_seconds: list[float]
    peak_mib: float | None = None
    peer_peak_mib: float | None = None
    goal: float | None = None

    def row(self) -> ROW:
        """Return the medians, the median of the rounds' ratios, the least and the largest ratio."""
        ratios = [a / b for a, b in zip(self.seconds, self.peer_seconds, strict=True)]
        return {
            "size": self.size,
            "ours": self.ours,
            "beside": self.peer,
            "runs": len(ratios),
            "seconds": statistics.median(self.seconds),
            "its seconds": statistics.median(self.peer_seconds),
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "goal": self.goal,
            "peak MiB": self.peak_mib,
            "its peak MiB": self.peer_peak_mib,
        }


def with_kept(name: str, table: str, rows: list[ROW]) -> list[ROW]:
    """Return the rows and those of sizes that were not measured now, from the result on disk."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8")).get(table, []) if path.is_file() else []
    measured = {row["size"] for row in rows}
    kept = [row for row in before if row["size"] not in measured]
    return sorted([*kept, *rows], key=lambda row: row["size"])


def slopes(figures: Iterable[Figure]) -> list[ROW]:
    """Return how each stage and limit grows from one size to the next.

    A slope is the power of the size that the seconds grow with: 1 is in proportion. That of
    n log n between two sizes is what may be grown with at most; a stage that is steeper is a
    defect.
    """
    seconds: dict[str, dict[int, float]] = {}
    for figure in figures:
        seconds.setdefault(figure.stage, {})[figure.size] = figure.seconds
        if figure.limit_seconds:
            limit = f"{figure.stage}: {figure.limit}"
            seconds.setdefault(limit, {})[figure.size] = figure.limit_seconds
    rows: list[ROW] = []
    for stage, found in seconds.items():
        sizes = sorted(found)
        for less, more in pairwise(sizes):
            step = math.log(more / less)
            slope = math.log(found[more] / found[less]) / step
            most = 1 + math.log(math.log(more) / math.log(less)) / step
            rows.append(
                {
                    "stage": stage,
                    "from": less,
                    "to": more,
                    "slope": slope,
                    "n log n": most,
                    "steeper": slope > most,
                }
            )
    return rows
