"""The explorer: pages that show what the model does, at ``/`` of ``two-tower serve``."""

from two_tower.interfaces.http.explorer.router import make_router

__all__ = ["make_router"]
