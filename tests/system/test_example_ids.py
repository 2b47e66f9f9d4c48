"""Every id that a page, an example or a help text names is in the generated data."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import typer.main

from two_tower.data.sample_data import generate
from two_tower.interfaces.cli import app

PROJECT_DIR = Path(__file__).resolve().parents[2]
PEOPLE = re.compile(r"\b(?:r\d{5,}|user_\d+|some-[a-z]+)\b")
VIDEOS = re.compile(r"\b[0-9a-f]{8}-[0-9a-f…][0-9a-f-]*")


def texts() -> dict[str, str]:
    pages = [
        PROJECT_DIR / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")
    ]
    pages += (PROJECT_DIR / "docs").rglob("*.md")
    for ending in ("md", "py", "sql", "ts"):
        pages += (PROJECT_DIR / "examples").rglob(f"*.{ending}")
        pages += (PROJECT_DIR / "clients").rglob(f"*.{ending}")
    found = {
        str(page.relative_to(PROJECT_DIR)): page.read_text(encoding="utf-8")
        for page in pages
        if "node_modules" not in page.parts
    }
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found[f"two-tower {name} --help"] = command.help or ""
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `two-tower sample-data` writes, with its defaults."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder)
    return folder


def test_every_person_of_the_documentation_has_reviews(sample: Path) -> None:
    files = (sample / "reviews").glob("*.csv")
    reviewed = "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    named = [(page, id_) for page, text in texts().items() for id_ in PEOPLE.findall(text)]

    assert len(named) > 5
    assert [(page, id_) for page, id_ in named if not re.search(rf"\b{id_}\b", reviewed)] == []


def test_every_video_of_the_documentation_is_in_the_catalogue(sample: Path) -> None:
    with (sample / "catalogue/videos.csv").open(encoding="utf-8") as file:
        catalogue = {row["id"] for row in csv.DictReader(file)}

    named = [(page, id_) for page, text in texts().items() for id_ in VIDEOS.findall(text)]

    assert len(named) > 1
    assert [(page, id_) for page, id_ in named if id_ not in catalogue] == []
