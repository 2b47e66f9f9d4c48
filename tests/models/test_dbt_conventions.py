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
import yaml

PROJECT_DIR = Path(__file__).resolve().parents[2]
PUBLIC_FOLDERS = ("marts", "features", "serving", "evaluation", "online", "drift")
# What the models of a folder may read beside their own and the sources.
MAY_READ = {
    "staging": "",
    "intermediate": "staging",
    "marts": "staging intermediate",
    "features": "staging intermediate marts",
    "evaluation": "staging intermediate features",
    "online": "staging intermediate",
    "drift": "intermediate features online",
    "serving": "intermediate marts features drift",
}
MAX_MODEL_LINES = 120
KEY_TESTS = ("unique", "unique_combination")
# What others build on: these names and types are promised, so neither SQL nor YAML may change them.
PROMISED_COLUMNS = {
    "interactions": {
        "user_id": "text",
        "item_id": "uuid",
        "label": "smallint",
        "weight": "double precision",
        "timestamp": "timestamp",
    },
    "user_features": {
        "user_id": "text",
        "preferred_tag_ids": "text[]",
        "like_count_30d": "bigint",
        "signup_days": "bigint",
        "positive_ratio_30d": "double precision",
        "liked_video_ids": "uuid[]",
        "reviewed_video_ids": "uuid[]",
        "review_relevances": "double precision[]",
        "preferred_makers": "text[]",
        "preferred_release_years": "text[]",
        "preferred_title_tokens": "text[]",
        "user_categories": "text[]",
    },
    "item_features": {
        "video_id": "uuid",
        "source": "text",
        "maker": "text",
        "label": "text",
        "series": "text",
        "tag_ids": "text[]",
        "performer_ids": "text[]",
        "price": "double precision",
        "release_year": "text",
        "title_tokens": "text[]",
        "text_embedding": "real[]",
    },
    "user_embeddings_next": {"user_id": "text", "embedding": "halfvec(128)"},
    "video_embeddings_next": {"video_id": "uuid", "embedding": "halfvec(128)"},
}
PROMISED_VARS = {
    "liked_from_stars": 4,
    "split_strategy": "random",
    "valid_fraction": 0.2,
}

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
    # What is named int_… is for the project alone, in whichever folder.
    found = [
        node
        for node in models
        if node["fqn"][1] in PUBLIC_FOLDERS and not node["name"].startswith("int_")
    ]
    assert len(found) >= 5, "the public models were not found: did their folders move?"
    return found


def test_every_public_model_has_an_enforced_contract(public_models: list[Node]) -> None:
    assert [node["name"] for node in public_models if not node["contract"]["enforced"]] == []


@pytest.mark.parametrize("name", PROMISED_COLUMNS)
def test_promised_columns_keep_their_names_and_types(public_models: list[Node], name: str) -> None:
    (model,) = (model for model in public_models if model["name"] == name)
    columns = model["columns"].values()
    assert {column["name"]: column["data_type"] for column in columns} == PROMISED_COLUMNS[name]


def test_promised_rules_keep_their_defaults() -> None:
    found = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    assert {name: found[name] for name in PROMISED_VARS} == PROMISED_VARS


def test_vectors_are_compared_by_cosine_alone() -> None:
    """The index serves `<=>`; another operator gives the same order and reads the whole table."""
    folders = ("models", "macros", "sql", "python", "examples", "tests/dbt")
    files = [path for name in folders for path in (PROJECT_DIR / name).rglob("*")]
    found = [
        path.relative_to(PROJECT_DIR)
        for path in files
        if path.suffix in {".sql", ".py", ".ts"} and "node_modules" not in path.parts
        if re.search(r"<->|<#>|halfvec_l2_ops|halfvec_ip_ops", path.read_text(encoding="utf-8"))
    ]
    assert found == []


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


def test_folders_read_each_other_one_way(models: list[Node]) -> None:
    folders = {node["unique_id"]: node["fqn"][1] for node in models}
    edges = {
        (node["fqn"][1], folders[other])
        for node in models
        for other in node["depends_on"]["nodes"]
        if other in folders
    }
    allowed = {(folder, other) for folder in MAY_READ for other in MAY_READ[folder].split()}
    assert {edge for edge in edges if edge[0] != edge[1]} <= allowed


def test_every_model_is_described(models: list[Node]) -> None:
    assert [node["name"] for node in models if not node["description"].strip()] == []


def test_no_model_is_long(models: list[Node]) -> None:
    lengths = {node["name"]: len(node["raw_code"].splitlines()) for node in models}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODEL_LINES} == {}
