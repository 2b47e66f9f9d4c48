"""Build and pull steps of ``prefect.yaml``: a deployment belongs to one checkout.

A run has to change to the checkout's folder before it reads the settings, since ``.env`` is there.
"""

from __future__ import annotations

import os
from pathlib import Path

from two_tower.core.errors import InputError


def claim() -> dict[str, str]:
    """Return the folder in which ``prefect deploy`` is typed; the deployments store it.

    Where the deployments belong to another checkout, the command ends with an error.
    """
    from two_tower.core.settings import read_settings
    from two_tower.interfaces import prefect_deployments
    from two_tower.interfaces.failures import guarded

    guarded(lambda: prefect_deployments.claim(read_settings()))
    return {"directory": str(Path.cwd())}


def enter(directory: str) -> dict[str, str]:
    """Change to the checkout that a run belongs to.

    Args:
        directory: the folder that was deployed from. A worker whose checkout is elsewhere sets
            ``TWO_TOWER_PROJECT_DIR`` in its environment.

    Raises:
        InputError: there is no checkout in that folder.
    """
    own = os.environ.get("TWO_TOWER_PROJECT_DIR")
    folder = Path(own or directory)
    if not (folder / "dbt_project.yml").is_file():
        raise InputError(
            f"this worker's machine has no checkout in {folder}"
            + (" (TWO_TOWER_PROJECT_DIR)" if own else ", the folder that was deployed from")
            + ": start the worker with TWO_TOWER_PROJECT_DIR=/path/to/its/checkout"
        )
    os.chdir(folder)
    return {"directory": str(Path.cwd())}
