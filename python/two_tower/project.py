"""A clone made ready to run: its dbt profile and data folders, and what its dbt vars say."""

import shutil
from pathlib import Path

import yaml

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


def catalogue_schema(settings: Settings) -> str:
    """Return the schema of the catalogue tables: the var catalogue_schema, `raw` by default."""
    text = (settings.project_dir / "dbt_project.yml").read_text(encoding="utf-8")
    # The loader in C, where there is one: this is read before each step.
    read = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return str(read.get("vars", {}).get("catalogue_schema", "raw"))


def _shown(path: Path, settings: Settings) -> str:
    inside = path.is_relative_to(settings.project_dir)
    return str(path.relative_to(settings.project_dir) if inside else path)
