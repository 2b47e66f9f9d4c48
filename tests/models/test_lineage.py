"""No model or test reads what its lineage does not show: `dbt docs` and `+selection` see it all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT_DIR
from two_tower.core.settings import Settings
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import Warehouse, open_warehouse

Node = dict[str, Any]
Name = tuple[str, str]

# A relation as dbt writes it, and as a person would.
RENDERED = re.compile(r'"[^"]+"\."([^"]+)"\."([^"]+)"')
TYPED = re.compile(r"(?<!distinct )\b(?:from|join)\s+(\w+)\.(\w+)\b(?!\s*\()")
# What a file of sql/ makes itself.
MADE = re.compile(r"create table (?:if not exists )?(\w+)\.(\w+)")
OLD = ("", "_previous")
NO_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\bextract\s*\(\s*\w+\s+from\b", re.IGNORECASE)


def relations(sql: str) -> set[Name]:
    """Return schema and name of every relation that SQL reads."""
    code = NO_CODE.sub(" ", sql)
    return set(RENDERED.findall(code)) | set(TYPED.findall(code))


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('select 1 from "db"."public"."videos" as videos', {("public", "videos")}),
        ("select 1 from a inner join public.videos on true", {("public", "videos")}),
        ("select extract(year from videos.released_on) from videos", set()),
        ("select a is distinct from b.c, 'from x.y' -- from x.z", set()),
        ("select 1 from public.recommend_videos('u')", set()),
    ],
)
def test_what_is_read_is_found(sql: str, found: set[Name]) -> None:
    assert relations(sql) == found


def make_everything(warehouse: Warehouse) -> None:
    """Make a relation of every name: what is read only where it is there is read."""
    ddl.ensure_all(warehouse)
    ddl.ensure_schema(warehouse, "public")
    names = [("two_tower", path.stem) for path in (PROJECT_DIR / "models").rglob("*.sql")]
    names += [("two_tower", "released_distributions"), ("two_tower", "finished_steps")]
    for table in ("user_embeddings", "video_embeddings"):
        names += [("public", table), ("public", f"{table}_previous")]
    for schema, name in dict.fromkeys(names):
        warehouse.execute(f"create table {schema}.{name} (nothing integer)")


def hidden(manifest: dict[str, Any]) -> Iterator[tuple[str, Name]]:
    """Yield the models and tests that read what they do not depend on."""
    known: dict[str, Node] = manifest["nodes"] | manifest["sources"]
    for node in manifest["nodes"].values():
        if node["resource_type"] not in ("model", "test"):
            continue
        declared = {
            (known[name]["schema"], known[name].get("identifier") or known[name]["alias"])
            for name in (node["unique_id"], *node["depends_on"]["nodes"])
        }
        for relation in relations(node["compiled_code"]) - declared:
            yield node["name"], relation


def hidden_in_hooks(manifest: dict[str, Any]) -> set[Name]:
    """Return what the files of sql/ read, and no release, exposure or file of theirs declares."""
    known: dict[str, Node] = manifest["nodes"] | manifest["sources"]
    release = [node for node in manifest["nodes"].values() if "release" in node["tags"]]
    declared = {
        (known[name]["schema"], known[name].get("identifier") or known[name]["alias"])
        for node in release
        for name in (node["unique_id"], *node["depends_on"]["nodes"])
    }
    declared |= {
        (known[name]["schema"], known[name].get("identifier") or known[name]["alias"])
        for exposure in manifest["exposures"].values()
        for name in exposure["depends_on"]["nodes"]
    }
    declared |= {
        (source["schema"], source["identifier"]) for source in manifest["sources"].values()
    }
    files = [node for node in manifest["nodes"].values() if node["resource_type"] == "analysis"]
    read = {relation for file in files for relation in relations(file["raw_code"])}
    assert ("two_tower", "interactions") in read
    made = {(schema, name) for file in files for schema, name in MADE.findall(file["raw_code"])}
    served = {("public", f"{base}_embeddings{old}") for base in ("user", "video") for old in OLD}
    temporary = {relation for relation in read if relation[0] in ("pg_catalog", "pg_temp")}
    return read - declared - made - served - temporary


@pytest.mark.slow
def test_nothing_reads_what_is_no_ref_or_source(
    either_settings: Settings, dbt_target: Path
) -> None:
    with open_warehouse(either_settings) as warehouse:
        make_everything(warehouse)

    dbt.run(either_settings, "compile", "--select", "*")

    manifest = json.loads((dbt_target / "manifest.json").read_text(encoding="utf-8"))
    compiled = [node for node in manifest["nodes"].values() if node["compiled_code"]]
    assert len(compiled) > 100
    assert any(("public", "user_embeddings") in relations(n["compiled_code"]) for n in compiled)
    assert list(hidden(manifest)) == []
    assert hidden_in_hooks(manifest) == set()


def test_relations_are_named_by_ref_and_source_alone() -> None:
    """What is looked up by name has no place in the lineage."""
    folders = ("models", "macros", "sql", "tests/dbt")
    files = [path for name in folders for path in (PROJECT_DIR / name).rglob("*.sql")]
    by_name = re.compile(r"adapter\.get_relation|api\.Relation")
    found = [path.name for path in files if by_name.search(path.read_text(encoding="utf-8"))]
    assert found == []
