"""The walk-through of models/features/README.md, to the letter in a scratch copy of the project."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import PROJECT_DIR, folders
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.data.sample_data import generate
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.training.train import train

PARTS = ["models", "macros", "sql", "tests/dbt", "dbt_project.yml", "selectors.yml"]
NEW_FEATURE_ID = 111


@pytest.fixture
def scratch_settings(tmp_path: Path) -> Settings:
    """Settings of a copy of the dbt project with sample data and an empty DuckDB file."""
    project = tmp_path / "project"
    for part in PARTS:
        target = project / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT_DIR / part).is_dir():
            shutil.copytree(PROJECT_DIR / part, target)
        else:
            shutil.copy(PROJECT_DIR / part, target)
    shutil.copy(PROJECT_DIR / "profiles.yml.example", project / "profiles.yml")
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        target="duckdb",
        project_dir=project,
        duckdb_path=tmp_path / "warehouse.duckdb",
        **folders(tmp_path),
    )
    generate(settings.path(settings.data_dir), reviews=5_000)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
    return settings


def patches(readme: Path) -> list[str]:
    return re.findall(r"^```diff\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)


def vocabulary(settings: Settings) -> dict[tuple[str, str], int]:
    with open_warehouse(settings) as warehouse:
        rows = warehouse.fetch("select vocabulary, token, index from two_tower.vocabularies")
    return {(row["vocabulary"], row["token"]): row["index"] for row in rows}


@pytest.mark.slow
def test_a_feature_is_added_as_the_readme_says_with_no_python_changed(
    scratch_settings: Settings,
) -> None:
    settings = scratch_settings
    dbt.run(settings, "run")
    before = vocabulary(settings)
    with open_warehouse(settings) as warehouse:
        old_layout = read_layout(warehouse)

    found = patches(PROJECT_DIR / "models/features/README.md")
    assert len(found) == 6
    for patch in found:
        subprocess.run(
            ["git", "apply", "--unidiff-zero", "-"],
            input=patch,
            text=True,
            check=True,
            cwd=settings.project_dir,
        )
    dbt.run(settings, "build", "--full-refresh")

    with open_warehouse(settings) as warehouse:
        layout = read_layout(warehouse)
        words = warehouse.fetch(
            "select count(distinct token) as known from two_tower.vocab_title_start"
        )[0]["known"]
        slots = warehouse.fetch(
            "select count(*) as videos from two_tower.item_feature_slots"
            f" where list_contains(feature_ids, {NEW_FEATURE_ID})"
        )[0]["videos"]
    assert (old_layout.input_schema_version, layout.input_schema_version) == (1, 2)
    assert [block.feature for block in layout.item][-1] == "title_start"
    assert layout.item[-1].width == words > 1
    assert slots > 0
    after = vocabulary(settings)
    assert {key: after[key] for key in before} == before, "old tokens keep their indices"

    assert train(settings, TrainConfig(epochs=1)).epochs == 1
