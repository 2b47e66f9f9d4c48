"""A clone made ready to run: its dbt profile and data folders."""

import shutil
from pathlib import Path

from two_tower.settings import Settings


def prepare(settings: Settings) -> list[str]:
    """Create what a fresh clone lacks, overwriting nothing; return a line for each thing made."""
    made: list[str] = []
    profiles = settings.project_dir / "profiles.yml"
    if not profiles.exists():
        shutil.copyfile(settings.project_dir / "profiles.yml.example", profiles)
        made.append(f"wrote {_shown(profiles, settings)} (targets duckdb, embedded, postgres)")
    for folder in (Path(settings.reviews_glob).parent, settings.catalogue_dir):
        if not folder.exists():
            folder.mkdir(parents=True)
            made.append(f"made {_shown(folder, settings)}/")
    return made


def _shown(path: Path, settings: Settings) -> str:
    inside = path.is_relative_to(settings.project_dir)
    return str(path.relative_to(settings.project_dir) if inside else path)
