"""The wings of the package import each other one way: docs/architecture.md draws them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import two_tower

PACKAGE = Path(two_tower.__file__).parent
# Each wing imports itself and those that stand with it; `core` stands alone.
MAY_IMPORT = {
    "core": "",
    "database": "core",
    "data": "core database",
    "model": "core database",
    "artifacts": "core database model",
    "evaluation": "core database model artifacts",
    "training": "core database model artifacts evaluation",
    "serving": "core database data model artifacts training",
    "operations": "core database data model artifacts evaluation training serving",
    "interfaces": "core database data model artifacts evaluation training serving operations",
}
FILES = sorted(path for path in PACKAGE.glob("*/**/*.py"))


def imported(path: Path) -> set[str]:
    """Return the wings that a file imports, at its top or within a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "two_tower":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("two_tower."):
            names.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
            names |= {parts[1] for parts in found if parts[0] == "two_tower" and parts[1:]}
    return names & set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_run_one_way(path: Path) -> None:
    wing = path.relative_to(PACKAGE).parts[0]
    assert imported(path) <= {wing, *MAY_IMPORT[wing].split()}


def test_each_wing_has_a_door_that_says_what_it_is() -> None:
    wings = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert wings == set(MAY_IMPORT)
    for wing in wings:
        door = ast.get_docstring(ast.parse((PACKAGE / wing / "__init__.py").read_text()))
        assert door, wing
        assert len(door.splitlines()) <= 6, wing
