"""A Ray cluster, for what has outgrown one machine (extra ``ray``; ADR 33)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import two_tower
from two_tower.core.errors import InputError, TwoTowerError, UnavailableError

INSTALL = "pip install -c constraints.txt -e '.[ray]', on every node"


@contextmanager
def connected() -> Iterator[Any]:
    """Join the cluster that ``RAY_ADDRESS`` names, or one of this machine alone, for the block.

    Workers run the code of this very package, whatever is installed where they are.

    Yields:
        the module ``ray``.

    Raises:
        InputError: Ray is not installed.
        UnavailableError: the cluster does not answer, or has lost more nodes than it can bear.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray needs Ray, which is not installed", INSTALL) from None
    address = os.environ.get("RAY_ADDRESS", "local")
    package = Path(two_tower.__file__).parent
    try:
        _knock(address)
        ray.init(
            address,
            include_dashboard=False if address == "local" else None,
            runtime_env={"py_modules": [str(package)]},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except OSError as error:
        hint = "ray start --head there; or leave RAY_ADDRESS out"
        raise UnavailableError(f"no Ray cluster at {address}: {error}", hint) from error
    try:
        yield ray
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, TwoTowerError):
            raise cause from None  # a worker's
        hint = "ray status says which nodes are there; then type it again"
        raise UnavailableError(f"Ray has failed: {error}", hint) from error
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at ``HOST:PORT``: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()
