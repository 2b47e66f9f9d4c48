"""The slots of a real release: its gate, and a person's events before and after the next build."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from test_slot_vectors import HALF, Slots, encoded, publish, stored_slots, user, visitor

from conftest import folders, make_settings
from postgres_server import PostgresServer
from two_tower.core.errors import GateError
from two_tower.core.settings import Settings
from two_tower.data import sample_data, suppression
from two_tower.data.load import load
from two_tower.database import dbt, ddl
from two_tower.database.warehouse import open_warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.serving.embed import embed
from two_tower.serving.release import release

VERSION = "20260101_000001"
PAST = (10, 6, 9)  # feature_ids of the blocks of past videos
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def settings(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, dbt_target: Path
) -> Settings:
    """A built sample; a model of its layout is embedded and not released yet.

    One review has the time of Japan without an offset.
    """
    folder = tmp_path_factory.mktemp("release")
    dsn = postgres_server.prepare("slots_of_a_release")
    settings = make_settings("postgres", database_url=dsn, **folders(folder))
    sample_data.generate(folder / "raw", reviews=3_000)
    reviews = folder / "raw/reviews"
    with next(reviews.glob("*.csv")).open(encoding="utf-8-sig") as file:
        page = next(csv.DictReader(file))["product_url"]
    ahead = datetime.now(UTC) + timedelta(hours=9)
    (reviews / "dmm_reviews_ahead.csv").write_text(
        f"product_url,reviewer_id,stars,reviewed_at\n{page},ahead,5,{ahead:%Y-%m-%d %H:%M:%S}\n"
    )
    with (folder / "raw/catalogue/users.csv").open(encoding="utf-8-sig") as file:
        people = [row["id"] for row in csv.DictReader(file)]
    said = [f"{person},language,{('ja', 'en')[n % 2]}\n" for n, person in enumerate(people)]
    (folder / "raw/catalogue/user_categories.csv").write_text(
        "user_id,category,value\n" + "".join(said)
    )
    with open_warehouse(settings) as warehouse:
        ddl.ensure_all(warehouse)
        load(settings, warehouse)
    dbt.run(settings, "run")
    with open_warehouse(settings) as warehouse:
        layout = read_layout(warehouse)
    publish(settings, VERSION, folder, frozen=layout)
    embed(settings, VERSION)
    return settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def released(settings: Settings) -> None:
    """The version serves, also where the test above ran in another worker."""
    release(settings)


def check(connection: Connection) -> tuple[Any, ...] | None:
    return connection.execute(
        "select value, passed, note from two_tower.promotion_checks"
        " where check_name = 'slot_sums:users' order by attempt desc limit 1"
    ).fetchone()


def test_a_version_whose_slots_are_not_its_models_is_not_released(
    settings: Settings, connection: Connection
) -> None:
    """The gate compares the sums with what is to be released."""
    connection.execute("update two_tower.slot_blocks set shrinkage = 400 where kind = 'history'")
    with pytest.raises(GateError, match="slot_sums:users is"):
        release(settings)
    connection.execute("update two_tower.slot_blocks set shrinkage = 4 where kind = 'history'")
    assert release(settings).version == VERSION
    found = check(connection)
    assert found is not None
    assert found[0] > 1 - 1e-4
    assert found[1:] == (True, None)


def slots_of(row: Slots, width: int) -> list[tuple[int, int, float]]:
    """The slots of past videos that the model knows, in order."""
    rows = zip(*row, strict=True)
    return sorted(slot for slot in rows if slot[0] in PAST and slot[1] < width)


@pytest.mark.usefixtures("released")
def test_a_review_dated_ahead_does_not_hide_what_is_recorded_now(connection: Connection) -> None:
    found = connection.execute(
        "select i.timestamp = m.as_of, m.as_of < now() at time zone 'utc'"
        " from two_tower.interactions as i cross join two_tower.int_moment as m"
        " where i.user_id = 'ahead'"
    ).fetchall()
    assert found == [(True, True)]
    asked = "select video_id, score from public.recommend_videos('ahead', 5)"
    before = dict(connection.execute(asked).fetchall())
    liked = next(iter(before))
    connection.execute("select public.record_event(%s, 'like', null, 'ahead')", [liked])
    after = dict(connection.execute(asked).fetchall())
    assert liked not in after
    both = set(before) & set(after)
    assert {video: before[video] for video in both} != {video: after[video] for video in both}


@pytest.mark.usefixtures("released")
def test_who_signs_up_now_has_a_list_of_their_own_at_once(
    settings: Settings, connection: Connection
) -> None:
    """By the view of a build, of the app's own table: nothing is built in between."""
    asked = "select video_id, source from public.recommend_videos(%s, p_limit => 10) order by rank"

    def listed(user_id: str) -> tuple[list[Any], set[str]]:
        rows = connection.execute(asked, [user_id]).fetchall()
        return [row[0] for row in rows], {row[1] for row in rows}

    popular = listed("came now")
    assert popular[1] == {"popular"}
    people = {"came now": "ja", "came too": "en", "came as well": "ja", "came from afar": "fr"}
    for person, language in people.items():
        row = (person, "language", language)
        connection.execute("insert into raw.user_categories values (%s, %s, %s)", row)
    lists = {person: listed(person) for person in people}
    assert lists["came now"][1] == lists["came too"][1] == {"model"}
    assert lists["came now"] == lists["came as well"]
    orders = [popular[0], *(lists[name][0] for name in ("came now", "came too"))]
    assert len(set(map(tuple, orders))) == 3
    assert lists["came from afar"] == popular  # nobody else says so: it has no index
    shares = connection.execute(
        "select feature, token from public.explain_recommendation('came too', %s)",
        [lists["came too"][0][0]],
    ).fetchall()
    assert sorted(shares) == [("base", None), ("user_categories", "language=en")]

    with open_warehouse(settings) as warehouse:
        suppression.record(warehouse, "came as well")
    assert listed("came as well") == popular
    left_out = '{"left_out_user_categories": ["language"]}'
    dbt.run(settings, "run", "--select", "stg_user_categories", "--vars", left_out)
    assert listed("came now") == popular
    dbt.run(settings, "run", "--select", "stg_user_categories")
    assert listed("came now") == lists["came now"]


@pytest.mark.usefixtures("released")
def test_events_count_as_they_do_after_the_next_build(
    settings: Settings, connection: Connection
) -> None:
    """Last in this file: it builds."""
    rows = connection.execute(
        "select user_id from two_tower.users order by md5(user_id) limit 12"
    ).fetchall()
    people = [row[0] for row in rows]
    videos = connection.execute(
        "select token::uuid from two_tower.vocab_video order by md5(token) limit 40"
    ).fetchall()
    seen = "select item_id from two_tower.interactions where user_id = %s order by item_id limit 2"
    rng = np.random.default_rng(3)
    for person in [*people, "somebody new"]:
        for (video,) in [
            *(videos[int(place)] for place in rng.choice(len(videos), 4, replace=False)),
            *connection.execute(seen, [person]).fetchall(),
        ]:
            kind = str(rng.choice(["view", "like", "dislike", "purchase"]))
            weight = float(rng.choice([0.25, 0.5, 1.0])) if kind == "view" else None
            connection.execute(
                "select public.record_event(%s, %s, %s::real, %s)", (video, kind, weight, person)
            )
    before = {}
    for person in [*people, "somebody new"]:
        row = connection.execute(
            'select feature_ids, indices, "values" from two_tower.user_slots(%s)', [person]
        ).fetchone()
        assert row is not None
        before[person] = (row, user(connection, person))
    with open_warehouse(settings) as warehouse:
        width = read_layout(warehouse).vocab_sizes()["video"]

    dbt.run(settings, "run", "--select", "+user_feature_slots")

    cosines = []
    for person, (row, moved) in before.items():
        after = stored_slots(connection, person)
        expected = slots_of(after, width)
        assert [slot[:2] for slot in slots_of(row, width)] == [slot[:2] for slot in expected]
        values = [slot[2] for slot in slots_of(row, width)]
        assert np.allclose(values, [slot[2] for slot in expected], rtol=1e-6)
        assert moved is not None
        known = [slot for slot in zip(*row, strict=True) if slot[0] not in PAST or slot[1] < width]
        exact = encoded(settings, tuple(map(list, zip(*known, strict=True))), VERSION)  # type: ignore[arg-type]
        assert np.abs(moved - exact).max() < HALF
        cosines.append(float(moved @ encoded(settings, after, VERSION)))
    print(f"cosines with the next build's: {min(cosines):.4f} to {max(cosines):.4f}")
    liked = [str(video) for (video,) in videos[:3]]
    assert visitor(connection, list(liked)) is not None
