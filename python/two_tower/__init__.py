"""Two-tower video recommendations: dbt features, a two-tower model, pgvector serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from two_tower.artifacts.load_model import load_model
    from two_tower.interfaces.notebook import show

__all__ = ["load_model", "show"]
__version__ = "0.10.0.dev0"


def __getattr__(name: str) -> Any:
    # Loaded when it is first asked for: torch takes a second that most commands do not need.
    if name == "load_model":
        from two_tower.artifacts.load_model import load_model

        return load_model
    if name == "show":
        from two_tower.interfaces.notebook import show

        return show
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
