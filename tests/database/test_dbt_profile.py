"""profiles.yml as two-tower writes it, read by dbt's own renderer."""

from __future__ import annotations

import shutil
import stat
from argparse import Namespace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context

from conftest import PROJECT_DIR
from dbt import flags
from two_tower.core.errors import InputError
from two_tower.core.settings import read_settings
from two_tower.database import dbt_profile
from two_tower.operations import setup

HARD = "p@ss/w:rd%41 '\"\\{{x}}{% y %}#${HOME}夏\t`&,;=?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is a project, with nothing in it but what a profile is made of."""
    (tmp_path / "dbt_project.yml").write_text("name: two_tower\n", encoding="utf-8")
    shutil.copy(PROJECT_DIR / "profiles.yml.example", tmp_path)
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    """Write these lines into ``.env``, have the profile written and return it."""
    (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    setup.prepare(read_settings(folder))
    return folder / "profiles.yml"


def rendered(profile: Path, target: str | None = None, **environment: str) -> dict[str, Any]:
    """Return what dbt makes of a target of a profile in this environment."""
    set_invocation_context(environment)
    flags.set_flags(Namespace(PROFILES_DIR=profile.parent))  # type: ignore[no-untyped-call]
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))["two_tower"]
    renderer = ProfileRenderer({})
    name = target or renderer.render_value(content["target"])
    return {"target": name, **renderer.render_data(content["outputs"][name])}


def test_the_target_is_that_of_env(folder: Path) -> None:
    assert rendered(written(folder))["target"] == "embedded"
    assert rendered(written(folder, "TWO_TOWER_TARGET=postgres"))["target"] == "postgres"
    assert rendered(written(folder), TWO_TOWER_TARGET="duckdb")["target"] == "duckdb"


def test_a_url_is_taken_apart_and_decoded(folder: Path) -> None:
    role = quote(HARD, safe="")
    profile = written(
        folder, f"DATABASE_URL='postgresql://{role}:{role}@db.example:6543/d%C3%A9?sslmode=require'"
    )

    found = rendered(profile, "postgres", PGHOST="elsewhere", PGUSER="me", PGPASSWORD="x")

    assert (found["host"], found["port"], found["sslmode"]) == ("db.example", 6543, "require")
    assert (found["user"], found["password"], found["dbname"]) == (HARD, HARD, "dé")


def test_digits_stay_text(folder: Path) -> None:
    found = rendered(written(folder, "DATABASE_URL=postgresql://007:0123@h/42"), "postgres")

    assert (found["user"], found["password"], found["dbname"]) == ("007", "0123", "42")


def test_what_a_url_leaves_out_is_what_libpq_takes(folder: Path) -> None:
    profile = written(folder, "DATABASE_URL=postgresql://somebody@/")

    found = rendered(profile, "postgres", PGPASSWORD="from outside")

    assert (found["host"], found["port"], found["dbname"]) == ("", 5432, "somebody")
    assert found["password"] == "from outside"


def test_numbers_and_paths_are_those_of_env(folder: Path) -> None:
    profile = written(
        folder,
        "TWO_TOWER_THREADS=7",
        "TWO_TOWER_MEMORY_LIMIT=1GB",
        "TWO_TOWER_SCHEMA=mine",
        "TWO_TOWER_DUCKDB_PATH=data/mine's.duckdb",
    )

    found = rendered(profile, "duckdb")

    assert (found["threads"], found["schema"]) == (7, "mine")
    assert found["settings"]["memory_limit"] == "1GB"
    assert found["path"] == str(folder / "data/mine's.duckdb")
    assert rendered(profile, "duckdb", TWO_TOWER_THREADS="3")["threads"] == 3


def test_exported_settings_are_not_written_down(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_TOWER_TARGET", "duckdb")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cretpw@h/d")

    profile = written(folder)

    assert "s3cretpw" not in profile.read_text(encoding="utf-8")
    assert rendered(profile)["target"] == "embedded"


def test_a_copy_by_hand_of_the_example_leads_to_the_same_places(folder: Path) -> None:
    made = written(folder)
    (folder / "copy").mkdir()
    (folder / "data").rename(folder / "copy" / "data")
    copy = Path(shutil.copy(folder / "profiles.yml.example", folder / "copy" / "profiles.yml"))

    assert rendered(copy)["target"] == "embedded"
    assert rendered(copy)["host"] == str(folder / "copy/data/postgres")
    assert rendered(copy, "duckdb")["path"] == str(folder / "copy/data/warehouse.duckdb")
    place = {"PGHOST": "h", "PGPORT": "1", "PGUSER": "u", "PGPASSWORD": "p", "PGDATABASE": "d"}
    assert rendered(copy, "postgres", **place) == rendered(made, "postgres", **place)


def test_only_its_owner_reads_it(folder: Path) -> None:
    profile = written(folder, "DATABASE_URL=postgresql://u:s3cretpw@h/d")

    assert stat.S_IMODE(profile.stat().st_mode) == 0o600


def test_it_follows_env(folder: Path) -> None:
    profile = written(folder)
    (folder / ".env").write_text("TWO_TOWER_TARGET=duckdb\n")

    dbt_profile.keep_in_step(folder)

    assert rendered(profile)["target"] == "duckdb"
    assert setup.prepare(read_settings(folder)) == []


@pytest.mark.parametrize("former", ["example", "former example"])
def test_a_copy_as_it_stood_follows_env_too(folder: Path, former: str) -> None:
    text = (folder / "profiles.yml.example").read_text(encoding="utf-8")
    if former == "former example":
        text = (PROJECT_DIR / "tests/database/former_profiles.yml").read_text(encoding="utf-8")
    (folder / "profiles.yml").write_text(text, encoding="utf-8")

    assert rendered(written(folder, "TWO_TOWER_TARGET=postgres"))["target"] == "postgres"


def test_what_a_person_changed_stays(folder: Path) -> None:
    profile = written(folder)
    mine = profile.read_text(encoding="utf-8").replace("'2'", "'3'")
    profile.write_text(mine, encoding="utf-8")
    (folder / ".env").write_text("TWO_TOWER_TARGET=duckdb\n")

    dbt_profile.keep_in_step(folder)

    assert "left profiles.yml alone" in setup.prepare(read_settings(folder))[-1]
    assert profile.read_text(encoding="utf-8") == mine


def test_one_in_another_encoding_stays_too(folder: Path) -> None:
    mine = "# 夏\ntwo_tower: {}\n".encode("cp932")
    (folder / "profiles.yml").write_bytes(mine)

    dbt_profile.keep_in_step(folder)

    assert "left profiles.yml alone" in setup.prepare(read_settings(folder))[0]
    assert (folder / "profiles.yml").read_bytes() == mine


def test_where_there_is_no_profile_none_is_made_by_the_way(folder: Path) -> None:
    dbt_profile.keep_in_step(folder)

    assert not (folder / "profiles.yml").exists()


def test_a_setting_that_is_wrong_leaves_the_profile_as_it_is(folder: Path) -> None:
    profile = written(folder)
    before = profile.read_text(encoding="utf-8")
    (folder / ".env").write_text("TWO_TOWER_TARGET=mysql\n")

    dbt_profile.keep_in_step(folder)

    assert profile.read_text(encoding="utf-8") == before


def test_a_service_stands_for_its_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "services").write_text("[prod]\nhost=db.example\nport=6000\nuser=u\ndbname=d\n")
    monkeypatch.setenv("PGSERVICEFILE", str(folder / "services"))

    found = rendered(written(folder, "DATABASE_URL=postgresql://?service=prod"), "postgres")

    assert (found["host"], found["port"], found["user"]) == ("db.example", 6000, "u")


def test_several_ports_are_refused_since_dbt_takes_one(folder: Path) -> None:
    settings = read_settings(folder, target="postgres", database_url="postgresql://u@a:1,b:2/d")

    with pytest.raises(InputError, match="several ports"):
        dbt_profile.variables(settings)
