"""Files as people have them: damaged, packed, of Excel and of shops; the same on both engines."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from conftest import CATALOGUE, PAGE, PROJECT_DIR, REVIEWS, VIDEOS, MakeDataDir
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data import load as loading
from two_tower.data import review_files, suppression
from two_tower.data.load import LoadSummary, load
from two_tower.database import ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import forget_user, retries
from two_tower.serving.duckdb_lists import DuckDBLists

HEADER = "product_url,reviewer_id,stars,reviewed_at\n"
NEW = f"{VIDEOS[0][:-1]}9"
NFC, NFD = "が", "か\u3099"


def run(settings: Settings) -> LoadSummary:
    with open_warehouse(settings) as warehouse:
        return load(settings, warehouse)


def rows(settings: Settings, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as warehouse:
        return [tuple(row.values()) for row in warehouse.fetch(sql, params)]


def reviewers(settings: Settings) -> list[str]:
    sql = "select reviewer_id from raw.reviews order by file, line"
    return [name for (name,) in rows(settings, sql)]


def rejected(settings: Settings) -> list[tuple[Any, ...]]:
    sql = "select line, reason, row_text from raw.rejected_reviews order by file, line"
    return rows(settings, sql)


def loaded(settings: Settings, make_data_dir: MakeDataDir, data: str | bytes) -> LoadSummary:
    make_data_dir({"dmm_reviews_1.csv": data})
    return run(settings)


JAPANESE = [f"{name}{number:03}" for number in range(100) for name in ("青木", "さくら", "ユリ")]


def test_a_file_of_utf_8_that_was_cut_within_a_character_loses_its_last_line_alone(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    lines = [f"{PAGE}abc001/,{name},5," for name in JAPANESE]
    data = (HEADER + "\n".join(lines)).encode()
    cut = data[: data.rindex("リ".encode()) + 1]
    summary = loaded(either_settings, make_data_dir, cut)
    assert reviewers(either_settings) == JAPANESE[:-1]
    assert [row[:2] for row in rejected(either_settings)] == [
        (301, "bytes that are no text in the file's encoding")
    ]
    assert rejected(either_settings)[0][2] == f"{PAGE}abc001/,ユ\ufffd"
    assert rows(either_settings, "select encoding, rows_read from raw.review_files") == [
        ("utf-8", 300)
    ]
    (warning,) = (text for text in summary.warnings if "dmm_reviews_1.csv" in text)
    assert "is damaged: 1 of its rows hold bytes that are no UTF-8" in warning


def test_one_damaged_byte_costs_one_row_in_each_encoding(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    lines = [f"{PAGE}abc001/,{name},5," for name in JAPANESE]
    text = HEADER + "\n".join(lines) + "\n"
    for encoding, found in {
        "utf-8": "utf-8",
        "utf-8-sig": "utf-8-sig",
        "cp932": "cp932",
        "utf-16": "utf-16",
    }.items():
        data = bytearray(text.encode(encoding))
        # Within the first character of the id of line 152.
        place = len((HEADER + "\n".join(lines[:150])).encode(encoding)) + len(
            f"\n{PAGE}abc001/,".encode(encoding.removesuffix("-sig").replace("16", "16-le"))
        )
        data[place : place + 2] = b"\x00\xdc" if encoding == "utf-16" else b"\xff\xff"
        make_data_dir({f"dmm_reviews_{encoding}.csv": bytes(data)})
        run(either_settings)
        file = f"reviews/dmm_reviews_{encoding}.csv"
        assert rows(
            either_settings,
            "select encoding, rows_loaded, rows_rejected from raw.review_files where file = ?",
            file,
        ) == [(found, 299, 1)], encoding
        assert rows(
            either_settings, "select line from raw.rejected_reviews where file = ?", file
        ) == [(152,)], encoding


def test_a_damaged_line_of_the_catalogue_is_named(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir()
    run(either_settings)
    path = folder / "catalogue/tags.csv"
    path.write_bytes(path.read_bytes() + "4,自然".encode()[:-1])
    with pytest.raises(InputError, match=r"tags\.csv is not loaded") as caught:
        run(either_settings)
    assert "line 5: bytes that are no text in the file's encoding" in str(caught.value)
    assert rows(either_settings, "select count(*) from raw.tags") == [(3,)]
    # What is no UTF-8 at all is said to be read as CP932, as for reviews.
    path.write_bytes(CATALOGUE["tags.csv"].encode("cp932"))
    assert any(
        "tags.csv is not UTF-8: it is read as CP932" in w for w in run(either_settings).warnings
    )
    assert rows(either_settings, "select name from raw.tags where id = '1'") == [("ドラマ",)]


PRICES = {
    "1980": 1980,
    "1,980": 1980,
    "1,234,567.89": 1234567.89,
    "19.8": 19.8,
    "1980.": 1980,
    ".5": 0.5,
    "+5": 5,
    "1e3": 1000,
    "1.98E+03": 1980,
    "１，９８０": 1980,
    "１９．８": 19.8,
    "0": 0,
}
NO_PRICES = [
    *["9,99", "1.980,00", "1,9,8,0", "1_980", "0,980", "12,34", "1,2345", "1234,567", "1,980,00"],
    *[
        "1 980",
        "1'980",
        "¥1,980",
        "1980円",
        "$19.80",
        "-1",
        "inf",
        "1e12",
        "1e400",
        "１²",
        "٣",
    ],
    *["1,234.567,8", ",980", "1,,980", "1.9.8", "free"],
]


def test_a_comma_in_a_price_separates_thousands_or_is_a_fault(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    header, *_ = CATALOGUE["videos.csv"].splitlines(keepends=True)

    def videos(prices: list[str]) -> dict[str, str]:
        lines = [f'{VIDEOS[0][:-2]}{n:02},,,,,,,,"{p}",\n' for n, p in enumerate(prices)]
        none = {
            "video_tags.csv": "video_id,tag_id\n",
            "video_performers.csv": "video_id,performer_id\n",
        }
        return CATALOGUE | none | {"videos.csv": header + "".join(lines)}

    make_data_dir(catalogue=videos(list(PRICES)))
    run(either_settings)
    assert rows(either_settings, "select price from raw.videos order by id") == [
        (pytest.approx(price),) for price in PRICES.values()
    ]
    for price in NO_PRICES:
        make_data_dir(catalogue=videos([price]))
        with pytest.raises(InputError) as caught:
            run(either_settings)
        assert f"line 2, column price: {price!r} is not a number from 0" in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01T00:00:00+09:00",
        "2024-01-01T23:59:59-09:00",
        "2024-01-01",
        "20240101",
        "2024/1/1 9:05",
    ],
)
def test_a_day_of_release_is_the_day_that_is_written(
    either_settings: Settings, make_data_dir: MakeDataDir, written: str
) -> None:
    videos = CATALOGUE["videos.csv"].replace("2024-07-01", written)
    make_data_dir(catalogue=CATALOGUE | {"videos.csv": videos})
    run(either_settings)
    found = rows(either_settings, "select released_on from raw.videos where id = ?", VIDEOS[0])
    assert str(found[0][0]) == "2024-01-01"


MOMENTS = {
    "1700101800000": "2023-11-16 02:30:00",
    "1700101800": "2023-11-16 02:30:00",
    "999999999": "2001-09-09 01:46:39",
    "20240801": "2024-08-01 00:00:00",
}
NO_MOMENTS = {
    "2024080112": "reviewed_at is in the future",
    "9999999999999": "reviewed_at is in the future",
    "20240230": "reviewed_at is not a date or a time",
    "202408011": "reviewed_at is not a date or a time",
    "202408011200": "reviewed_at is not a date or a time",
    "1700101800000000": "reviewed_at is not a date or a time",
    "45505": "reviewed_at is not a date or a time",
    "2024": "reviewed_at is not a date or a time",
    "2034-01-01": "reviewed_at is in the future",
}


def test_digits_are_a_day_or_seconds_or_milliseconds_and_nothing_is_of_the_future(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(hours=23)
    later = datetime.now(UTC) + timedelta(hours=25)
    good = [*MOMENTS, tomorrow.isoformat()]
    bad = NO_MOMENTS | {later.isoformat(): "reviewed_at is in the future"}
    for quote in ("", '"'):  # by columns, and row by row
        lines = [f"{quote}{PAGE}a/{quote},u,5,{moment}\n" for moment in (*good, *bad)]
        loaded(either_settings, make_data_dir, HEADER + "".join(lines))
        found = rows(either_settings, "select reviewed_at from raw.reviews order by line")
        assert [str(at) for (at,) in found][:-1] == list(MOMENTS.values())
        assert len(found) == len(good)
        assert [reason for _, reason, _ in rejected(either_settings)] == list(bad.values())


LONG = {
    ("tags", "id", 500): f"{'長' * 501},x",
    ("performers", "id", 500): f"{'長' * 501},x",
    ("users", "id", 500): f"{'u' * 6000},",
    ("videos", "product_url", 2000): f"{NEW},,,{PAGE}{'a' * 2000},,,,,,",
    ("videos", "source", 500): f"{NEW},,,,{'s' * 5000},,,,,",
    ("videos", "maker", 500): f"{NEW},,,,,{'s' * 5000},,,,",
    ("videos", "label", 500): f"{NEW},,,,,,{'s' * 5000},,,",
    ("videos", "series", 500): f"{NEW},,,,,,,{'s' * 5000},,",
}


def test_a_text_too_long_for_an_index_is_a_fault_by_line_and_column(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir()
    run(either_settings)
    for (name, column, most), row in LONG.items():
        path = folder / f"catalogue/{name}.csv"
        path.write_text(CATALOGUE[path.name] + row + "\n")
        line = len(path.read_text().splitlines())
        with pytest.raises(InputError) as caught:
            run(either_settings)
        assert f"line {line}, column {column}: it has " in str(caught.value)
        assert f"{most:,} are the most" in str(caught.value)
        path.write_text(CATALOGUE[path.name])
    # As long as may be goes all the way into the indexes of the tables.
    (folder / "catalogue/tags.csv").write_text(CATALOGUE["tags.csv"] + f"{'😀' * 500},x\n")
    assert run(either_settings).catalogue["tags"] == 4


def test_what_the_database_refuses_is_no_database_that_went_away(
    clean_postgres: Settings,
) -> None:
    """As an app's own table may have it, whose texts no file of ours bounds."""
    with open_warehouse(clean_postgres) as warehouse:
        warehouse.execute("create table public.keyed (id text primary key)")
        long = "".join(map(str, range(2_000)))  # that many digits do not compress

        def insert() -> None:
            warehouse.execute("insert into public.keyed values (?)", (long,))

        with pytest.raises(InputError, match=r"load: the server cannot do this: index row size"):
            retries.call("load", insert, 0)


def test_a_title_and_a_name_may_be_long(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    videos = CATALOGUE["videos.csv"].replace("夏の海", "夏" * 20_000)
    tags = CATALOGUE["tags.csv"].replace("旅", "旅" * 20_000)
    make_data_dir(catalogue=CATALOGUE | {"videos.csv": videos, "tags.csv": tags})
    assert run(either_settings).catalogue["videos"] == 3


def test_a_review_whose_key_is_too_long_or_has_lost_characters_is_rejected(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    bad = {
        f"{PAGE}{'a' * 2000},u1,5,": "product_url is longer than 2000 characters",
        f"{PAGE}a/,{'u' * 501},5,": "reviewer_id is longer than 500 characters",
        f"{PAGE}a/,青\ufffd,5,": review_files.LOST_REVIEWER,
    }
    loaded(either_settings, make_data_dir, HEADER + "\n".join(bad) + f"\n{PAGE}a/,ok,5,\n")
    assert [reason for _, reason, _ in rejected(either_settings)] == list(bad.values())
    assert reviewers(either_settings) == ["ok"]


def test_a_packed_file_is_the_plain_one(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir({"dmm_reviews_1.csv.gz": gzip.compress(REVIEWS.encode())})
    packed = {path: gzip.compress(text.encode()) for path, text in CATALOGUE.items()}
    for name, data in packed.items():
        (folder / "catalogue" / name).unlink()
        (folder / "catalogue" / f"{name}.gz").write_bytes(data)
    first = run(either_settings)
    assert (first.rows_loaded, first.catalogue["videos"], first.warnings) == (3, 3, ())
    # To pack and to unpack is no change.
    (folder / "reviews/dmm_reviews_1.csv").write_text(REVIEWS)
    (folder / "reviews/dmm_reviews_1.csv.gz").unlink()
    second = run(either_settings)
    assert (second.files_unchanged, second.warnings) == (1, ())
    assert rows(either_settings, "select file from raw.review_files") == [
        ("reviews/dmm_reviews_1.csv",)
    ]
    # Both: the plain one is read, and the other named.
    (folder / "reviews/dmm_reviews_1.csv.gz").write_bytes(gzip.compress(HEADER.encode()))
    third = run(either_settings)
    assert third.files_unchanged == 1
    (warning,) = third.warnings
    assert warning.endswith("dmm_reviews_1.csv.gz is passed over: dmm_reviews_1.csv is there")


def test_a_packed_file_that_changes_while_it_is_read_or_is_cut_off_is_not_loaded(
    either_settings: Settings, make_data_dir: MakeDataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_data_dir({"dmm_reviews_1.csv.gz": gzip.compress(REVIEWS.encode())})
    path = folder / "reviews/dmm_reviews_1.csv.gz"
    run(either_settings)
    whole = gzip.compress((REVIEWS + f"{PAGE}abc001/,u9,5,\n").encode())
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match="is a damaged gzip file"):
        run(either_settings)
    path.write_bytes(whole)
    read = loading.review_files.read

    def grown(*arguments: Any) -> Iterator[Any]:
        yield from read(*arguments)
        path.write_bytes(whole + gzip.compress(b"more"))

    with monkeypatch.context() as patch:
        patch.setattr(loading.review_files, "read", grown)
        with pytest.raises(InputError, match="changed while it was read"):
            run(either_settings)
    assert reviewers(either_settings) == ["u1", "u1", "u2"]


def test_whatever_of_the_folders_is_passed_over_is_named(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir(
        {"dmm_reviews_1.csv": REVIEWS, "DMM_Reviews_2.CSV": REVIEWS.replace("u1", "u7")}
    )
    (folder / "reviews/2023").mkdir()
    (folder / "reviews/dmm_reviews_3.csv").symlink_to(folder / "nowhere.csv")
    (folder / "reviews/dmm_reviews_4.xlsx").write_bytes(b"PK\3\4[Content_Types].xml")
    (folder / "reviews/dmm_reviews_copy.csv").write_text(REVIEWS)
    (folder / "catalogue/video_tag.csv").write_text("video_id,tag_id\n")
    (folder / "dmm_reviews_5.csv").write_text(REVIEWS)
    summary = run(either_settings)
    assert (summary.files, summary.rows_loaded) == (3, 9)
    for text in (
        "reviews/2023 is passed over: a folder",
        f"reviews/dmm_reviews_3.csv is passed over: a link to {folder}/nowhere.csv",
        "reviews/dmm_reviews_4.xlsx is passed over: it is an Excel workbook",
        "reviews/dmm_reviews_copy.csv has the same content as",
        "catalogue/video_tag.csv is passed over: the names that are read are videos.csv",
        f"dmm_reviews_5.csv is passed over: reviews belong in {folder}/reviews",
    ):
        assert sum(text in warning for warning in summary.warnings) == 1, text
    assert len(summary.warnings) == 6


def test_a_file_that_is_no_csv_is_said_to_be_what_it_is_and_keeps_its_rows(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir()
    run(either_settings)
    path = folder / "reviews/dmm_reviews_1.csv"
    for data, what in {
        b"PK\3\4\x14\0\6\0[Content_Types].xml": "an Excel workbook",
        b"<!DOCTYPE html>": "an HTML page",
        (HEADER.replace(",", ";")).encode(): "its columns are separated by semicolons",
    }.items():
        path.write_bytes(data)
        with pytest.raises(InputError, match=what):
            run(either_settings)
    for blank in (b"", b"\n \n", b"\0" * 4096, b"\xef\xbb\xbf"):
        path.write_bytes(blank)
        (warning,) = run(either_settings).warnings
        assert warning.endswith("is empty; what was loaded from it before stays")
    assert reviewers(either_settings) == ["u1", "u1", "u2"]
    path.write_text(HEADER)
    run(either_settings)
    assert reviewers(either_settings) == []


def test_what_nobody_can_tell_apart_is_one_id_in_reviews_and_catalogue(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    text = HEADER + f"\ufeff{PAGE}abc001/,\u200b{NFD},5,\n{PAGE}abc002/,{NFC}\u200e,4,\n"
    make_data_dir(
        {"dmm_reviews_1.csv": text},
        CATALOGUE
        | {
            "tags.csv": CATALOGUE["tags.csv"] + f"{NFC},x\n",
            "video_tags.csv": CATALOGUE["video_tags.csv"] + f"{VIDEOS[2]},{NFD}\u200b\n",
            "performers.csv": CATALOGUE["performers.csv"] + f"\ufeff{NFD},{NFD}\n",
            "video_performers.csv": CATALOGUE["video_performers.csv"] + f"{VIDEOS[1]},{NFC}\n",
            "users.csv": CATALOGUE["users.csv"] + f"{NFD},2024-01-01\n",
            "videos.csv": CATALOGUE["videos.csv"].replace("fanza", f"\u200b{NFD}"),
        },
    )
    run(either_settings)
    assert reviewers(either_settings) == [NFC, NFC]
    for sql in (
        "select tag_id from raw.video_tags where tag_id = ?",
        "select id from raw.performers where id = ?",
        "select name from raw.performers where name = ?",
        "select id from raw.users where id = ?",
        "select source from raw.videos where source = ?",
    ):
        assert rows(either_settings, sql, NFC) == [(NFC,)], sql


def test_two_ids_that_nobody_can_tell_apart_are_one_id_twice(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    tags = CATALOGUE["tags.csv"] + f"{NFC},a\n\u200b{NFD},b\n"
    make_data_dir(catalogue=CATALOGUE | {"tags.csv": tags})
    with pytest.raises(InputError, match=f"line 6, column id: {NFC} is on line 5 already"):
        run(either_settings)


def test_rows_of_before_are_read_again_or_brought_to_what_they_would_be_now(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    """A file that is there is read again by the new rules; of one that is gone the ids are."""
    folder = make_data_dir({"dmm_reviews_1.csv": REVIEWS, "dmm_reviews_2.csv": REVIEWS})
    run(either_settings)
    with open_warehouse(either_settings) as warehouse:
        for table in ("review_files", "catalogue_files"):
            warehouse.execute(f"alter table raw.{table} drop column rules")
        warehouse.execute(
            "update raw.reviews set reviewer_id = ? where reviewer_id = 'u1'", (f"\ufeff{NFD}",)
        )
        warehouse.execute("update raw.tags set name = ?", (NFD,))
    (folder / "reviews/dmm_reviews_2.csv").unlink()
    summary = run(either_settings)
    assert (summary.files_unchanged, summary.rows_loaded) == (0, 3)
    assert reviewers(either_settings) == ["u1", "u1", "u2", NFC, NFC, "u2"]
    assert rows(either_settings, "select name from raw.tags where id = '1'") == [("ドラマ",)]
    assert run(either_settings).files_unchanged == 1


def test_whoever_was_forgotten_stays_so_however_the_id_is_written(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir({}, None)
    run(either_settings)
    old = f"\u200b{NFD}2"
    with open_warehouse(either_settings) as warehouse:
        suppression.record(warehouse, "somebody")
        # As it was recorded when ids were stored as they are written.
        (salt,) = {row["salt"] for row in warehouse.fetch("select salt from raw.forgotten_users")}
        digest = hashlib.sha256(f"{salt}:{old}".encode()).hexdigest()
        warehouse.execute(
            "insert into raw.forgotten_users (user_hash, salt, forgotten_at)"
            " values (?, ?, current_timestamp)",
            (digest, salt),
        )
    forget_user.forget(either_settings, f" {NFD}\ufeff")
    people = [f"\ufeff{NFC}", NFD, f'"{NFD}"', old, "u2"]
    text = HEADER + "".join(f"{PAGE}abc001/,{name},5,\n" for name in people)
    text += f"{PAGE}abc001/,{NFD},sixteen,\n"
    users = CATALOGUE["users.csv"] + f"{NFD},\n{old},\n"
    make_data_dir({"dmm_reviews_1.csv": text}, CATALOGUE | {"users.csv": users})
    run(either_settings)
    assert reviewers(either_settings) == ["u2"]
    assert rows(either_settings, "select id from raw.users order by id") == [("u1",), ("u2",)]
    assert {row[1:] for row in rejected(either_settings)} == {
        (suppression.REASON, ""),
        ("stars is not a number from 1 to 5", ""),
    }


def test_a_catalogue_says_that_there_is_no_value_as_programs_do(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    videos = CATALOGUE["videos.csv"] + f"{NEW},None,,NULL,NULL,nan,\\N,N/A,NULL,0000-00-00\n"
    users = CATALOGUE["users.csv"] + "u3,0000-00-00 00:00:00\nu4,NULL\n"
    make_data_dir(catalogue=CATALOGUE | {"videos.csv": videos, "users.csv": users})
    run(either_settings)
    # A title is prose: there is a film of that name.
    assert rows(either_settings, "select * from raw.videos where title = 'None'") == [
        (UUID(NEW), "None", *[None] * 8)
    ]
    assert rows(either_settings, "select id from raw.users where signed_up_at is null") == [
        ("u3",),
        ("u4",),
    ]
    for row in ("NULL,x", "1.5E+15,x", "????,x"):
        make_data_dir(catalogue=CATALOGUE | {"tags.csv": CATALOGUE["tags.csv"] + row + "\n"})
        with pytest.raises(InputError, match=r"line 5, column id: (it is empty|.* has lost)"):
            run(either_settings)


def test_who_signs_up_in_the_future_is_a_fault(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    def signed_up(hours: int) -> None:
        moment = datetime.now(UTC) + timedelta(hours=hours)
        row = f"u3,{moment:%Y-%m-%dT%H:%M:%SZ}\n"
        make_data_dir(catalogue=CATALOGUE | {"users.csv": CATALOGUE["users.csv"] + row})
        run(either_settings)

    signed_up(23)  # clocks differ, and time zones are left out
    with pytest.raises(InputError, match=r"column signed_up_at: .* a time up to now"):
        signed_up(25)


def test_ids_that_became_decimals_are_warned_of(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    text = HEADER + "".join(
        f"{PAGE}abc001/,{name},5,\n" for name in ("12345.0", "7.0", "u1", "1.05")
    )
    summary = loaded(either_settings, make_data_dir, text)
    (warning,) = summary.warnings
    assert "2 reviews are by ids such as 12345.0" in warning


def test_an_id_that_is_typed_is_the_id_that_is_stored(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir({"dmm_reviews_1.csv": HEADER + f"{PAGE}abc001/,{NFC},5,\n"})
    run(either_settings)
    with open_warehouse(either_settings) as warehouse:
        warehouse.execute("create table two_tower.interactions (user_id text, item_id uuid)")
        warehouse.execute("insert into two_tower.interactions values (?, ?)", (NFC, VIDEOS[0]))
        ddl.ensure_all(warehouse)
    typed = f"\u200b{NFD} "
    if either_settings.target == "duckdb":
        lists = DuckDBLists(either_settings)
        assert [str(item) for item in lists._seen(NFC)] == [VIDEOS[0]]
        asked = []
        lists._has_vector = lambda user_id: asked.append(user_id) or True  # type: ignore[method-assign, func-returns-value]
        lists._for_user(typed, 20, True)
        lists.close()
        assert asked == [NFC]
    else:
        with open_warehouse(either_settings) as warehouse:
            warehouse.execute((PROJECT_DIR / "sql/functions/text_value.sql").read_text("utf-8"))
            found = warehouse.fetch(
                "select item_id from two_tower.interactions"
                " where user_id = two_tower.text_value(?)",
                (typed,),
            )
        assert [str(row["item_id"]) for row in found] == [VIDEOS[0]]
    result = forget_user.forget(either_settings, f"\ufeff{NFD}")
    assert result.rows == {"raw.reviews": 1, '"two_tower"."interactions"': 1}
    assert result.csv_files == ["reviews/dmm_reviews_1.csv"]
    with pytest.raises(InputError, match="the id is empty"):
        forget_user.forget(either_settings, "\u200b")
