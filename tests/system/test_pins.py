"""The pinned versions run on every Python that the project promises."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet

from conftest import PROJECT_DIR


def test_no_pin_asks_for_a_newer_python_than_the_project_does() -> None:
    """Debian 12 has 3.11.2: a pin for 3.11.5 installs on the maintainers' machines alone."""
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    (oldest,) = re.findall(r">=([\d.]+)", project["project"]["requires-python"])
    found = {
        str(one.metadata["Name"]): required
        for one in distributions()
        if (required := one.metadata.json.get("requires_python"))
        and not SpecifierSet(required).contains(f"{oldest}.0")
    }
    assert found == {}
