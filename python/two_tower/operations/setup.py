"""Preparation of a clone: its dbt profile and data folders; and the project's dbt vars."""

from pathlib import Path
from typing import Any

import yaml

from two_tower.core.settings import Settings
from two_tower.database import dbt_profile


def prepare(settings: Settings) -> list[str]:
    """Create the files and folders that a fresh clone lacks, and update profiles.yml from ``.env``.

    Nothing that a person wrote is overwritten. Returns one line per change.
    """
    made: list[str] = []
    profiles = settings.project_dir / "profiles.yml"
    text = dbt_profile.written(settings.project_dir)
    found = profiles.read_text("utf-8", errors="replace") if profiles.exists() else ""
    if not found or dbt_profile.is_ours(found, settings.project_dir):
        if found != text:
            dbt_profile.write(settings.project_dir, text)
            made.append("wrote profiles.yml from .env")
    else:
        made.append("left profiles.yml alone: it was written by hand")
    for folder in (Path(settings.reviews_glob).parent, settings.catalogue_dir):
        if not folder.exists():
            folder.mkdir(parents=True)
            made.append(f"made {_shown(folder, settings)}/")
    return made


def catalogue_schema(settings: Settings) -> str:
    """Return the schema of the catalogue tables: the var catalogue_schema, `raw` by default."""
    return str(project_vars(settings).get("catalogue_schema", "raw"))


def project_vars(settings: Settings) -> dict[str, Any]:
    """Return the vars of dbt_project.yml."""
    text = (settings.project_dir / "dbt_project.yml").read_text(encoding="utf-8")
    # The loader in C, where there is one: this is read before each step.
    read = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return dict(read.get("vars") or {})


def _shown(path: Path, settings: Settings) -> str:
    inside = path.is_relative_to(settings.project_dir)
    return str(path.relative_to(settings.project_dir) if inside else path)
