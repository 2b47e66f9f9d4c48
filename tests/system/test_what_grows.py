"""The page of what grows names every table that outlives a build; its figures were measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
PAGE = (PROJECT_DIR / "docs/what-grows.md").read_text(encoding="utf-8")
GROWTH = json.loads((PROJECT_DIR / "benchmarks/results/growth.json").read_text(encoding="utf-8"))


def tables_of_python() -> set[str]:
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in (PROJECT_DIR / "python").rglob("*.py")
    )
    return set(re.findall(r"create table if not exists two_tower\.(\w+)", code))


def models_that_append() -> set[str]:
    return {
        path.stem
        for path in (PROJECT_DIR / "models").rglob("*.sql")
        if "materialized='incremental'" in path.read_text(encoding="utf-8")
    }


def test_every_table_that_outlives_a_build_is_on_the_page() -> None:
    found = tables_of_python() | models_that_append()

    assert len(found) > 10
    assert {name for name in found if not re.search(rf"\b{name}\b", PAGE)} == set()


def test_the_figures_are_those_that_were_measured() -> None:
    """A version's: what the second and third run added, before any was removed; a run's: later."""
    after = GROWTH["bytes_after_each_run"]

    def measured(name: str, of: str) -> set[int]:
        name = name.replace("dbt.log", "")
        name = name if "/" in name else f"two_tower.{name}"
        if of == "run":
            return {round(GROWTH["bytes_a_run"][name] / 1000)}
        return {(after[n + 1][name] - after[n][name]) // 1000 for n in range(2)}

    rows = re.findall(r"^\| `([\w./]+)`[^|]*\| ([\d,]+) kB a (run|version)", PAGE, re.MULTILINE)

    assert len(rows) >= 6
    for name, figure, of in rows:
        assert int(figure.replace(",", "")) in measured(name, of), name
