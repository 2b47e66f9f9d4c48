"""The towers of a training that is cut short: ``checkpoint.pt`` in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from two_tower.core.files import write_whole


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt``, whole."""
    write_whole(run / "checkpoint.pt", lambda beside: torch.save(state, beside))


def load_checkpoint(run: Path) -> dict[str, Any] | None:
    """Return what :func:`save_checkpoint` wrote last, or None before the first."""
    path = run / "checkpoint.pt"
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state
