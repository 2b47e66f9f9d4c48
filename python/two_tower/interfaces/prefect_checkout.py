"""The steps of ``prefect.yaml``: a deployment belongs to one checkout, and a run goes to it.

Nothing here may read the settings before a run is in its folder: that is where ``.env`` is.
"""

from __future__ import annotations

import os
from pathlib import Path

from two_tower.core.errors import InputError


def claim() -> dict[str, str]:
    """Return the folder that ``prefect deploy`` is typed in, for the deployments to keep.

    The command ends with a message where they are another checkout's.
    """
    from two_tower.core.settings import read_settings
    from two_tower.interfaces import prefect_deployments
    from two_tower.interfaces.failures import guarded

    guarded(lambda: prefect_deployments.claim(read_settings()))
    return {"directory": str(Path.cwd())}


def enter(directory: str) -> dict[str, str]:
    """Go to the checkout that a run is of.

    Args:
        directory: of the checkout that was deployed from. A worker whose own checkout is elsewhere
            says where by ``TWO_TOWER_PROJECT_DIR`` in its environment.

    Raises:
        InputError: there is no checkout.
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
