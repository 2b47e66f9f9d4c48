"""What people say of themselves, from an app's own table to features, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import CATALOGUE, PAGE, MakeDataDir
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import forget_user, setup

pytestmark = pytest.mark.slow

NFC, NFD = "が", "か\u3099"
PEOPLE = [f"u{number}" for number in range(1, 7)]
LANGUAGE, GENDER, ODD, TUPLES = "language=ja", "Gender=F", 'it\'s "so"=1', "a b=c"


def build(settings: Settings, **variables: Any) -> None:
    chosen = ["--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"]
    names = ("user_feature_slots", "training_user_features", "vocabularies")
    chosen += ["--select", *(f"+{name}" for name in names)]
    given = {"catalogue_schema": "app", "serving_roles": {}} | variables
    dbt.run(settings, "build", *chosen, "--vars", json.dumps(given))


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as warehouse:
        return [tuple(row.values()) for row in warehouse.fetch(sql)]


def features(settings: Settings) -> dict[str, list[str]]:
    sql = "select user_id, user_categories from two_tower.{}"
    found = {user: list(tokens) for user, tokens in rows(settings, sql.format("user_features"))}
    trained = rows(settings, sql.format("training_user_features"))
    assert {user: list(tokens) for user, tokens in trained} == found
    return {user: tokens for user, tokens in found.items() if tokens}


def slots(settings: Settings) -> dict[str, set[str]]:
    """The tokens that a model sees of each user."""
    tokens = {
        index: token
        for token, index in rows(
            settings,
            "select token, index from two_tower.vocabularies where vocabulary = 'user_category'",
        )
    }
    found: dict[str, set[str]] = {}
    for user, ids, indices, values in rows(
        settings, 'select user_id, feature_ids, indices, "values" from two_tower.user_feature_slots'
    ):
        for feature_id, index, value in zip(ids, indices, values, strict=True):
            if feature_id == 12:
                assert value == 1
                found.setdefault(user, set()).add(tokens[index])
    return found


def make_app(settings: Settings) -> None:
    """The catalogue as an app has it; six people say things, one of them in three spellings."""
    with open_warehouse(settings) as warehouse:
        for statement in (
            "drop schema if exists app cascade",
            "create schema app",
            "create table app.videos as select * from raw.videos",
            *(
                f"create table app.{name} as select * from raw.{name}"
                for name in ("tags", "performers", "video_tags", "video_performers", "users")
            ),
            "create table app.user_categories (user_id text, category text, value text)",
        ):
            warehouse.execute(statement)
        said = [
            row
            for user in PEOPLE
            for row in (
                (user, "language", "ja"),
                (user, "Gender", "F"),
                (user, 'it\'s "so"', "1"),
                (user, "a=b", "c"),
            )
        ]
        said += [
            (f"\ufeff{NFD}", " language\u200b", "ja"),
            (NFC, "language", "ja "),
            (NFC, "language", "ja"),
            ("u1", "alone", "x"),
            *((user, name, value) for user, name, value in [("u1", "", "x"), ("u1", "x", "")]),
            *[("u1", "x", " "), (" ", "language", "ja"), (None, "language", "ja")],
            *[("u1", None, "x"), ("u1", "x", None)],
        ]
        for row in said:
            warehouse.execute("insert into app.user_categories values (?, ?, ?)", row)


def test_an_apps_own_table_becomes_features_but_for_what_is_left_out(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    settings = either_settings
    text = "product_url,reviewer_id,stars,reviewed_at\n" + "".join(
        f"{PAGE}abc00{1 + number % 2}/,{user},5,2024-01-0{1 + number}\n"
        for number, user in enumerate(PEOPLE[:4])
    )
    make_data_dir({"dmm_reviews_1.csv": text}, CATALOGUE)
    setup.prepare(settings)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    make_app(settings)
    build(settings)

    ordered = sorted((LANGUAGE, GENDER, ODD, TUPLES), key=str.encode)
    found = features(settings)
    assert found.pop(NFC) == [LANGUAGE]
    assert found.pop("u1") == sorted([*ordered, "alone=x"], key=str.encode)
    assert found == dict.fromkeys(PEOPLE[1:], ordered)
    # Who is known by categories alone is a user too.
    known = {user for (user,) in rows(settings, "select user_id from two_tower.users")}
    assert known == {*PEOPLE, NFC}
    # Of most people first; of what fewer than five say, no index.
    vocabulary = (
        "select token, index from two_tower.vocabularies where vocabulary = 'user_category'"
        " order by index"
    )
    numbered = [(LANGUAGE, 0), *((t, n) for n, t in enumerate([GENDER, TUPLES, ODD], 1))]
    assert rows(settings, vocabulary) == numbered
    everything = {LANGUAGE, GENDER, ODD, TUPLES}
    assert slots(settings) == {NFC: {LANGUAGE}, **dict.fromkeys(PEOPLE, everything)}

    # By name, however it is spelt; a quote is no end of it. The forgotten are in the table still.
    forget_user.forget(settings, "u6")
    left_out = ["gender", '\u200bIt\'s "so"', "a=b", 7, "not there"]
    build(settings, left_out_user_categories=left_out)
    assert features(settings) == {
        NFC: [LANGUAGE],
        "u1": ["alone=x", LANGUAGE],
        **{user: [LANGUAGE] for user in PEOPLE[1:5]},
    }
    assert slots(settings) == {user: {LANGUAGE} for user in (NFC, *PEOPLE[:5])}
    said = rows(settings, "select distinct category from two_tower.stg_user_categories order by 1")
    assert said == [("alone",), ("language",)]
    # An index is for ever: the names of what was left out stay in the vocabulary …
    assert rows(settings, vocabulary) == numbered

    # … until they are renamed: the index stays taken, and no build brings the name back.
    with open_warehouse(settings) as warehouse:
        warehouse.execute(
            "update two_tower.vocab_user_category set token = 'left out ' || index"
            " where token like 'Gender=%'"
        )
    build(settings, left_out_user_categories=left_out)
    renamed = [("left out 1" if token == GENDER else token, n) for token, n in numbered]
    assert rows(settings, vocabulary) == renamed


@pytest.mark.parametrize(("kind", "indexed"), [("text", "user_id"), ("uuid", "(user_id::text)")])
def test_a_call_finds_one_persons_rows_by_an_index(
    clean_postgres: Settings, dbt_target: Path, kind: str, indexed: str
) -> None:
    """As docs/data-in.md says, of ids of either type."""
    setup.prepare(clean_postgres)
    with open_warehouse(clean_postgres) as warehouse:
        ddl.ensure_all(warehouse)
        warehouse.execute("drop schema if exists app cascade")
        warehouse.execute("create schema app")
        warehouse.execute(
            f"create table app.user_categories (user_id {kind}, category varchar, value varchar)"
        )
        warehouse.execute(f"create index on app.user_categories ({indexed})")
        warehouse.execute(
            f"insert into app.user_categories select md5(n::text)::uuid::{kind}, 'a', n % 9"
            " from generate_series(1, 20000) as n"
        )
    given = json.dumps({"catalogue_schema": "app"})
    dbt.run(clean_postgres, "run", "--select", "stg_user_categories", "--vars", given)
    with open_warehouse(clean_postgres) as warehouse:
        warehouse.execute("analyze app.user_categories")
        plan = warehouse.fetch(
            "explain select token from two_tower.stg_user_categories where written_id ="
            " 'c4ca4238-a0b9-2382-0dcc-509a6f75849b'"
        )
        found = warehouse.fetch(
            "select token from two_tower.stg_user_categories where written_id ="
            " 'c4ca4238-a0b9-2382-0dcc-509a6f75849b'"
        )
    assert found == [{"token": "a=1"}]
    text = "\n".join(str(row) for row in plan)
    assert "Seq Scan on user_categories" not in text
    assert "Index" in text


def test_names_that_are_no_list_are_refused(
    duckdb_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    """Else each letter would be a name, and nothing would be left out."""
    make_data_dir()
    setup.prepare(duckdb_settings)
    with open_warehouse(duckdb_settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(duckdb_settings, warehouse)
    for wrong in ("gender", {"gender": True}):
        with pytest.raises(
            InputError, match=r"left_out_user_categories is .*write a list of names"
        ):
            build(duckdb_settings, catalogue_schema="raw", left_out_user_categories=wrong)
