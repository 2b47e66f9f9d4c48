"""Rules for the dbt models that dbt itself does not check, read from its manifest."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
PUBLIC_FOLDERS = ("marts", "features", "serving", "evaluation")
MAX_MODEL_LINES = 120
KEY_TESTS = ("unique", "unique_combination")

Node = dict[str, Any]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dbt")
    shutil.copyfile(PROJECT_DIR / "profiles.yml.example", folder / "profiles.yml")
    command = [str(Path(sys.executable).parent / "dbt"), "parse", "--quiet", "--target", "embedded"]
    command += ["--no-partial-parse", "--target-path", str(folder), "--log-path", str(folder)]
    command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "DO_NOT_TRACK": "1"})
    loaded: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> list[Node]:
    nodes = manifest["nodes"].values()
    return [node for node in nodes if node["resource_type"] == "model"]


@pytest.fixture(scope="module")
def public_models(models: list[Node]) -> list[Node]:
    found = [node for node in models if node["fqn"][1] in PUBLIC_FOLDERS]
    assert len(found) >= 5, "the public models were not found: did their folders move?"
    return found


def test_every_public_model_has_an_enforced_contract(public_models: list[Node]) -> None:
    assert [node["name"] for node in public_models if not node["contract"]["enforced"]] == []


def test_every_public_description_states_the_grain(public_models: list[Node]) -> None:
    grain = re.compile(r"\b[Oo]ne\s+row(\s+per\b|:|\.)")
    assert [node["name"] for node in public_models if not grain.search(node["description"])] == []


def test_every_public_column_is_described_and_typed(public_models: list[Node]) -> None:
    def offenders() -> Iterator[str]:
        for node in public_models:
            if not node["columns"]:
                yield f"{node['name']}: no columns"
            for column in node["columns"].values():
                if not column["description"].strip():
                    yield f"{node['name']}.{column['name']}: no description"
                if not column["data_type"]:
                    yield f"{node['name']}.{column['name']}: no data_type"

    assert list(offenders()) == []


def has_key_constraint(node: Node) -> bool:
    """Return whether the database itself refuses a second row of the same key."""
    constraints = [node["constraints"], *(c["constraints"] for c in node["columns"].values())]
    return any(entry["type"] in ("unique", "primary_key") for some in constraints for entry in some)


def test_every_public_model_has_a_key_test(
    manifest: dict[str, Any], public_models: list[Node]
) -> None:
    keyed = {
        node["attached_node"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and (node.get("test_metadata") or {}).get("name") in KEY_TESTS
    }
    one_row = re.compile(r"\b[Oo]ne\s+row(:|\.)")
    assert [
        node["name"]
        for node in public_models
        if node["unique_id"] not in keyed
        and not has_key_constraint(node)
        and not one_row.search(node["description"])
    ] == []


def test_every_model_is_described(models: list[Node]) -> None:
    assert [node["name"] for node in models if not node["description"].strip()] == []


def test_no_model_is_long(models: list[Node]) -> None:
    lengths = {node["name"]: len(node["raw_code"].splitlines()) for node in models}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODEL_LINES} == {}
