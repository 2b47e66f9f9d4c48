"""Pages and ids as SQL reads them: one page is one video, one value one id, on both engines."""

from __future__ import annotations

import json
import random
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import CATALOGUE, PAGE, REVIEWS, VIDEOS, MakeDataDir
from two_tower.core.settings import Settings
from two_tower.data import text_values
from two_tower.data.load import load
from two_tower.data.text_values import clean
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import setup
from two_tower.serving.recommender import Recommender

pytestmark = pytest.mark.slow

SECOND = "99999999-0000-4000-8000-000000000009"
NFC, NFD = "が", "か\u3099"


def build(settings: Settings, *models: str, **variables: Any) -> dbt.Built:
    setup.prepare(settings)
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    chosen = ["--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"]
    chosen += ["--select", *(f"+{name}" for name in models)]
    return dbt.run(settings, "build", *chosen, "--vars", json.dumps(variables))


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as warehouse:
        return [tuple(map(str, row.values())) for row in warehouse.fetch(sql)]


def test_who_has_seen_a_page_is_not_shown_it_again_by_another_video(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path, capfd: Any
) -> None:
    again = (
        f"{SECOND},again,,http://www.dmm.co.jp/digital/videoa/-/detail/=/cid=abc001?ref=x,,,,,,\n"
    )
    make_data_dir(catalogue=CATALOGUE | {"videos.csv": CATALOGUE["videos.csv"] + again})
    built = build(either_settings, "popularity", "videos", "interactions")

    for table in ("videos", "popularity"):
        found = rows(either_settings, f"select video_id from two_tower.{table} order by video_id")
        assert found == [(video,) for video in VIDEOS]
    with Recommender(either_settings) as recommender:
        assert [row.video_id for row in recommender.recommend("u1")] == [VIDEOS[2]]
        assert SECOND not in {row.video_id for row in recommender.recommend("nobody")}

    (warning,) = (text for text in built.warnings if "assert_videos_have_pages" in text)
    assert warning.startswith("assert_videos_have_pages_of_their_own: 1 row\n")
    assert f"recommended_id {VIDEOS[0]}, other_ids {SECOND}" in warning
    assert f"warning: {warning}" in capfd.readouterr().err


UNRESERVED = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
PIECES = [
    *["a", "Z", "0", "~", "-", "/", "!", "'", "(", ")", "*", ",", ";", ":", "@", "+", "=", "$"],
    *["が", "か\u3099", "作品", "é", "e\u0301", "🎬", "\u200b", "%", "%4", "%zz", "%2", "％"],
    *["%2f", "%2F", "%3F", "%25", "%7e", "%7E", "%61", "%5f", "%2D", "%20", "%00", "%0a", "%5B"],
    *["%E3%81%8C", "%e3%81%8c", "%E3%81", "%8C", "%A4%AC", "%ff", "%C0%80", "%ED%A0%80", "%C3%A9"],
    *[
        "&amp;",
        "y?a=1&amp;b=2",
        "%F0%9F%8E%AC",
        "%f0%9f%8e%ac",
        "%F4%90%80%80",
        "%E0%80%80",
        "%C2",
        "%C2%A0",
    ],
]


def readable(url: str) -> str:
    """Decode what needs no encoding, by RFC 3986 and RFC 3987, and write the rest in capitals."""

    def decoded(run: re.Match[str]) -> str:
        text = bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "surrogateescape")
        return "".join(
            f"%{ord(c) - 0xDC00:02X}"
            if "\udc80" <= c <= "\udcff"
            else c
            if c in UNRESERVED or c > "\x7f"
            else f"%{ord(c):02X}"
            for c in text
        )

    return clean(re.sub("(?:%[0-9A-Fa-f]{2})+", decoded, url.replace("&amp;", "&")))


def test_both_engines_read_percent_encoding_as_the_rfcs_do(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    maker = random.Random(3986)
    paths = PIECES + ["x".join(maker.choices(PIECES, k=9)) for _ in range(3000)]
    urls = sorted({f"https://example.com/x/{path}/x" for path in paths})
    lines = [f'"{url}",u{number},5\n' for number, url in enumerate(urls)]
    make_data_dir({"dmm_reviews_1.csv": "product_url,reviewer_id,stars\n" + "".join(lines)})
    build(either_settings, "int_review_urls")
    found = dict(
        rows(either_settings, "select product_url, canonical_url from two_tower.int_review_urls")
    )
    assert len(found) == len({clean(url) for url in urls})
    expected = {url: readable(url).removeprefix("https://") for url in found}
    assert found == expected
    # What a browser makes of a page is that page.
    for text in ("が", "作品 1", "~user", "a%2Fb"):
        assert readable(quote(text, safe="%~")) == readable(quote(text, safe="%~").lower()), text


def app_tables(settings: Settings, characters: list[str]) -> None:
    """The catalogue as an app has it: ids of its own making, none of them cleaned."""
    with open_warehouse(settings) as warehouse:
        for statement in (
            "drop schema if exists app cascade",
            "create schema app",
            "create table app.videos (id uuid, title text, thumbnail_url text, product_url text,"
            " source text, maker text, label text, series text, price integer, released_on date)",
            *(f"create table app.{name} (id text, name text)" for name in ("tags", "performers")),
            "create table app.video_tags (video_id uuid, tag_id text)",
            "create table app.video_performers (video_id uuid, performer_id text)",
            "create table app.users (id text, signed_up_at timestamp)",
        ):
            warehouse.execute(statement)
        for number, video in enumerate(VIDEOS):
            warehouse.execute(
                "insert into app.videos values (?, 'x', null, ?, ?, ?, 'l', ?, 1, null)",
                (
                    video,
                    f"{PAGE}abc00{number + 1}/",
                    f"\u200b{NFD}",
                    (NFC, NFD)[number % 2],
                    "s" * 5000,
                ),
            )
        warehouse.execute("insert into app.tags values (?, 'a'), ('2 ', 'b')", (NFD,))
        warehouse.execute(
            "insert into app.video_tags values (?, ?), (?, '2'), (?, ?)",
            (VIDEOS[0], NFC, VIDEOS[0], VIDEOS[1], f"{NFD}\ufeff"),
        )
        warehouse.execute("insert into app.performers values (?, 'a')", (f" {NFC}",))
        warehouse.execute("insert into app.video_performers values (?, ?)", (VIDEOS[0], NFD))
        warehouse.execute(
            "insert into app.users values (?, '2020-01-01'), (?, '2021-01-01')",
            (f"\ufeff{NFD}", f"{NFC} "),
        )
        for number, character in enumerate(characters):
            warehouse.execute(
                "insert into app.video_tags values (?, ?)",
                (str(uuid.UUID(int=number)), f"{character}x{character}"),
            )


def test_ids_of_the_apps_own_tables_are_values_as_those_of_files(
    either_settings: Settings, make_data_dir: MakeDataDir, dbt_target: Path
) -> None:
    seen = {
        chr(code)
        for pair in text_values.INVISIBLE
        for code in (*pair, pair[0] - 1, pair[1] + 1)
        if code > 0
    }
    characters = sorted(seen | set(map(chr, range(1, 0x250))) | set("か\u3099ー゛\u0301\ufe0f😀"))
    app_tables(either_settings, characters)
    make_data_dir({"dmm_reviews_1.csv": REVIEWS.replace("u1", NFC)}, {})
    build(
        either_settings,
        "videos",
        "users",
        "interactions",
        "popularity",
        "vocabularies",
        catalogue_schema="app",
        vocabulary_min_count={},
    )
    found = rows(either_settings, "select source, maker from two_tower.videos group by 1, 2")
    assert found == [(NFC, NFC)]
    tags = "select video_id, {0} from two_tower.videos order by video_id"
    assert rows(either_settings, tags.format("tag_ids"))[:2] == [
        (VIDEOS[0], f"['2', '{NFC}']"),
        (VIDEOS[1], f"['{NFC}']"),
    ]
    assert rows(either_settings, tags.format("performer_ids"))[0] == (VIDEOS[0], f"['{NFC}']")
    users = "select user_id, signed_up_at, review_count from two_tower.users order by user_id"
    assert rows(either_settings, users)[-1] == (NFC, "2020-01-01 00:00:00", "2")
    # Too long for an index: no token, and no failure.
    assert rows(either_settings, "select token from two_tower.vocab_series") == []
    assert rows(either_settings, "select token from two_tower.vocab_maker") == [(NFC,)]
    # The app asks by the id that it has.
    sql = "select video_id from public.recommend_videos(?, p_limit := 20) order by rank"
    with open_warehouse(either_settings) as warehouse:
        answers = [
            [str(row["video_id"]) for row in warehouse.fetch(sql, (name,))]
            for name in (NFC, f"\ufeff{NFD}", "nobody")
        ]
    assert answers[0] == answers[1] == [VIDEOS[2]]
    assert len(answers[2]) == 3

    read = dict(rows(either_settings, "select video_id, tag_id from two_tower.stg_video_tags"))
    for number, character in enumerate(characters):
        expected = clean(f"{character}x{character}")
        assert read[str(uuid.UUID(int=number))] == expected, f"{ord(character):x}"
    with open_warehouse(either_settings) as warehouse:
        value = text_values.sql(warehouse.dialect, "tag_id")
        assert (
            warehouse.fetch(
                f"select tag_id from app.video_tags where {value} not in"
                " (select s.tag_id from two_tower.stg_video_tags as s)"
            )
            == []
        )
