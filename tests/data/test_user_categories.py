"""What people say of themselves: the catalogue's table user_categories, on both engines."""

from __future__ import annotations

import gzip
import hashlib
import random
from typing import Any

import pytest

from conftest import CATALOGUE, MakeDataDir
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data import suppression
from two_tower.data.load import LoadSummary, load
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import forget_user

HEADER = "user_id,category,value\n"
CATEGORIES = HEADER + "u1,age_group,25-34\nu1,gender,F\nu2,gender,M\nnew,language,ja=JP\n"
LOADED = [
    ("new", "language", "ja=JP"),
    ("u1", "age_group", "25-34"),
    ("u1", "gender", "F"),
    ("u2", "gender", "M"),
]
NFC, NFD = "が", "か\u3099"


def run(settings: Settings) -> LoadSummary:
    with open_warehouse(settings) as warehouse:
        return load(settings, warehouse)


def found(settings: Settings) -> list[tuple[Any, ...]]:
    sql = "select user_id, category, value from raw.user_categories"
    with open_warehouse(settings) as warehouse:
        return sorted(tuple(row.values()) for row in warehouse.fetch(sql))


def with_categories(text: str) -> dict[str, str | bytes]:
    return {**CATALOGUE, "user_categories.csv": text}


def test_the_file_is_optional_and_a_changed_one_replaces_its_rows(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir() / "catalogue"
    assert "user_categories" not in run(either_settings).catalogue
    assert found(either_settings) == []

    (folder / "user_categories.csv").write_text(CATEGORIES)
    summary = run(either_settings)
    assert (summary.catalogue["user_categories"], summary.warnings) == (4, ())
    assert found(either_settings) == LOADED  # of people in no other file, too

    # Packed it is the same file; then another one.
    (folder / "user_categories.csv").unlink()
    (folder / "user_categories.csv.gz").write_bytes(gzip.compress(CATEGORIES.encode()))
    assert run(either_settings).catalogue["user_categories"] == 4
    again = HEADER + "u1,gender,F\nu1,gender,X\n"
    (folder / "user_categories.csv.gz").write_bytes(gzip.compress(again.encode()))
    assert run(either_settings).catalogue["user_categories"] == 2
    assert found(either_settings) == [("u1", "gender", "F"), ("u1", "gender", "X")]

    # A file that is gone keeps its rows, as any does; its header alone removes them.
    (folder / "user_categories.csv.gz").unlink()
    run(either_settings)
    assert len(found(either_settings)) == 2
    (folder / "user_categories.csv").write_text(HEADER)
    assert run(either_settings).catalogue["user_categories"] == 0
    assert found(either_settings) == []


def test_the_columns_may_stand_in_any_order_and_values_are_cleaned(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    text = f"Value,note,USER_ID,category\n {NFD}\ufeff,x,\u200b{NFD},{NFD}\n"
    make_data_dir(catalogue=with_categories(text))
    run(either_settings)
    assert found(either_settings) == [(NFC, NFC, NFC)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u1,gender,F", "u1, gender, F is on line 3 already"),
        (" u1,gender\u200b,F ", "u1, gender, F is on line 3 already"),
        ("u1,gender,", "column value: it is empty"),
        ("u1,gender,NULL", "column value: it is empty"),
        ("u1,,F", "column category: it is empty"),
        (",gender,F", "column user_id: it is empty"),
        ("u1,a=b,F", "column category: 'a=b' is not a name without '='"),
        (f"{'u' * 501},gender,F", "column user_id: it has 501 characters"),
        (f"u1,{'c' * 101},F", "column category: it has 101 characters"),
        (f"u1,gender,{'v' * 301}", "column value: it has 301 characters"),
        ("青\ufffd,gender,F", "column user_id"),
        ("u1,gender", "2 fields where the header has 3"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_replaced(
    duckdb_settings: Settings, make_data_dir: MakeDataDir, row: str, message: str
) -> None:
    folder = make_data_dir(catalogue=with_categories(CATEGORIES)) / "catalogue"
    run(duckdb_settings)
    (folder / "user_categories.csv").write_text(CATEGORIES + row + "\n")
    with pytest.raises(InputError, match=r"user_categories\.csv") as caught:
        run(duckdb_settings)
    assert "line 6" in str(caught.value)
    assert message in str(caught.value)
    assert found(duckdb_settings) == LOADED


def test_a_column_that_lacks_is_named(
    duckdb_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir(catalogue=with_categories("user_id,category\nu1,gender\n"))
    with pytest.raises(InputError, match="the header lacks value"):
        run(duckdb_settings)


def test_the_longest_row_goes_into_the_tables_indexes(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    """Random characters of four bytes: they do not compress."""
    letters = random.Random(1)
    most = [
        "".join(chr(letters.randrange(0x20000, 0x2A000)) for _ in range(n)) for n in (500, 100, 300)
    ]
    make_data_dir(catalogue=with_categories(HEADER + ",".join(most) + "\n"))
    assert run(either_settings).catalogue["user_categories"] == 1


def test_somebody_who_was_forgotten_is_not_loaded_however_the_id_is_written(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir(catalogue=with_categories(CATEGORIES))
    run(either_settings)
    forgotten = forget_user.forget(either_settings, "u1")
    assert forgotten.rows["raw.user_categories"] == 2
    named = ["catalogue/users.csv", "catalogue/user_categories.csv"]
    assert [file for file in forgotten.csv_files if file.startswith("catalogue/")] == named
    assert [user for user, *_ in found(either_settings)] == ["new", "u2"]
    old = f"\u200b{NFD}"
    with open_warehouse(either_settings) as warehouse:
        # As it was recorded when ids were stored as they are written.
        (salt,) = {row["salt"] for row in warehouse.fetch("select salt from raw.forgotten_users")}
        warehouse.execute(
            "insert into raw.forgotten_users (user_hash, salt, forgotten_at)"
            " values (?, ?, current_timestamp)",
            (hashlib.sha256(f"{salt}:{old}".encode()).hexdigest(), salt),
        )
    text = CATEGORIES + f"u1\u200b,language,ja\n{old},language,ja\n"
    make_data_dir(catalogue=with_categories(text))
    run(either_settings)
    assert [user for user, *_ in found(either_settings)] == ["new", "u2"]
    with open_warehouse(either_settings) as warehouse:
        suppression.record(warehouse, "u2")
        suppression.withhold_users(warehouse)
    assert [user for user, *_ in found(either_settings)] == ["new"]


def test_forgetting_removes_rows_of_another_spelling(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir(catalogue=with_categories(CATEGORIES))
    run(either_settings)
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("insert into raw.user_categories values (?, 'age', '30')", (f"{NFD} ",))
    assert forget_user.forget(either_settings, NFC).rows["raw.user_categories"] == 1
    assert found(either_settings) == LOADED
