"""The towers of a training that is cut short: ``checkpoint.pt`` in the run's folder."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from two_tower.core.files import write_whole

# Seconds between two checkpoints: an epoch may be shorter than writing one.
SAVE_EVERY = 2.0


class Checkpoint:
    """The checkpoint of one fit.

    Args:
        run: the run's folder.
        key: of the fit; the checkpoint of another one counts as none.
    """

    def __init__(self, run: Path, key: str) -> None:
        self.path, self.key = run / "checkpoint.pt", key
        self.saved_at = -math.inf

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, or None before the first."""
        if not self.path.exists():
            return None
        found: dict[str, Any] = torch.load(self.path, weights_only=True)
        return found if found["key"] == self.key else None

    def save(self, state: dict[str, Any]) -> None:
        """Save a state, unless that was done ``SAVE_EVERY`` seconds ago or less."""
        if time.monotonic() >= self.saved_at + SAVE_EVERY:
            content = {"key": self.key, **state}
            write_whole(self.path, lambda beside: torch.save(content, beside))
            self.saved_at = time.monotonic()
