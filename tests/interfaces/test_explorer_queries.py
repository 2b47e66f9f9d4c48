"""What the explorer finds of people and videos, against the tables that it reads."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from interfaces.explorer_world import connect, popular
from interfaces.http_server import serving
from two_tower.core.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explorer")]

# Not ranked by popularity: nobody has reviewed them.
TITLES = {uuid.UUID(int=1): "100% Sure_Thing", uuid.UUID(int=2): "1000 sure things"}
# Reviews by person.
PEOPLE = {"Zed": 5, "zed": 1, "zed2": 9, "zed3": 9}


@pytest.fixture(scope="module")
def client(released: Settings) -> Iterator[httpx.Client]:
    with serving(released) as client:
        yield client


@pytest.fixture
def added(released: Settings) -> Iterator[None]:
    """Videos and people beside the generated ones."""
    with connect(released) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into two_tower.videos (video_id, title, tag_ids, performer_ids)"
            " values (%s, %s, '{}', '{}')",
            TITLES.items(),
        )
        cursor.executemany(
            "insert into two_tower.users (user_id, review_count, like_count) values (%s, %s, 0)",
            PEOPLE.items(),
        )
        yield
        cursor.execute("delete from two_tower.videos where video_id = any(%s)", (list(TITLES),))
        cursor.execute("delete from two_tower.users where user_id = any(%s)", (list(PEOPLE),))


def read(client: httpx.Client, name: str, **query: Any) -> Any:
    answer = client.get(f"/explorer/api/{name}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        *(("sure", [1, 2]), ("SURE_T", [1]), ("100%", [1]), ("0% s", [1])),
        *(("00000000-0000-0000-0000-000000000002", [2]), ("no such title", [])),
    ],
)
@pytest.mark.usefixtures("added")
def test_a_title_is_found_by_any_part_as_it_is_typed(
    client: httpx.Client, typed: str, numbers: list[int]
) -> None:
    found = read(client, "videos", q=typed)
    assert [row["video_id"] for row in found] == [str(uuid.UUID(int=n)) for n in numbers]
    assert [row["title"] for row in found] == [TITLES[uuid.UUID(int=n)] for n in numbers]


def test_of_many_titles_the_most_popular_are_shown(
    client: httpx.Client, released: Settings
) -> None:
    with connect(released) as connection:
        rows = connection.execute(
            "select v.video_id::text as id from two_tower.popularity as p"
            " join two_tower.videos as v on v.video_id = p.video_id"
            " where v.title like '%の%' order by p.popularity_rank limit 12"
        ).fetchall()
    assert len(rows) == 12
    assert [row["video_id"] for row in read(client, "videos", q="の")] == [r["id"] for r in rows]
    (upper,) = read(client, "videos", q=str(rows[0]["id"]).upper())
    assert upper["video_id"] == rows[0]["id"]


def test_a_hidden_video_is_found_and_said_to_be_hidden(
    client: httpx.Client, released: Settings
) -> None:
    hidden, other = popular(released, 3)[1:]
    with connect(released) as connection:
        connection.execute("insert into two_tower.hidden_videos values (%s)", (hidden,))
        try:
            assert read(client, "video", video_id=hidden)["is_hidden"] is True
            assert read(client, "video", video_id=other)["is_hidden"] is False
            assert [row["video_id"] for row in read(client, "videos", q=hidden)] == [hidden]
        finally:
            connection.execute("delete from two_tower.hidden_videos")
    assert read(client, "video", video_id=hidden)["is_hidden"] is False


@pytest.mark.parametrize(
    ("typed", "people"),
    [
        *(("zed", ["zed", "zed2", "zed3"]), ("ze", ["zed2", "zed3", "zed"]), ("Z", ["Zed"])),
        *(("ed", []), ("z%", []), ("z_d", [])),
    ],
)
@pytest.mark.usefixtures("added")
def test_people_are_found_by_how_their_ids_begin(
    client: httpx.Client, typed: str, people: list[str]
) -> None:
    found = read(client, "people", q=typed)
    assert [row["user_id"] for row in found] == people
    assert [row["review_count"] for row in found] == [PEOPLE[name] for name in people]


def test_of_everybody_who_has_reviewed_most_is_shown(
    client: httpx.Client, released: Settings
) -> None:
    with connect(released) as connection:
        rows = connection.execute(
            "select user_id, review_count, like_count from two_tower.users"
            " order by review_count desc, user_id limit 12"
        ).fetchall()
    found = read(client, "people")
    names = ("user_id", "review_count", "like_count")
    assert [tuple(row[name] for name in names) for row in found] == [
        tuple(row[name] for name in names) for row in rows
    ]


def test_who_likes_a_video_has_liked_it(client: httpx.Client, released: Settings) -> None:
    with connect(released) as connection:
        rows = connection.execute(
            'select user_id, item_id::text as video, label, weight, "timestamp" as at'
            " from two_tower.interactions where item_id = (select item_id"
            " from two_tower.interactions group by item_id"
            " having count(*) filter (where label = 1) > 3 order by count(*) filter"
            " (where label = 0) desc, item_id limit 1)"
        ).fetchall()
    assert {row["label"] for row in rows} == {0, 1}
    liked: list[Any] = [row for row in rows if row["label"] == 1]
    liked.sort(key=lambda row: row["user_id"])
    liked.sort(key=lambda row: row["at"], reverse=True)

    found = read(client, "likers", video_id=rows[0]["video"])
    assert [row["user_id"] for row in found] == [row["user_id"] for row in liked[:20]]
    assert [row["stars"] for row in found] == pytest.approx([r["weight"] * 5 for r in liked[:20]])
    assert read(client, "likers", video_id=uuid.uuid4()) == []


def test_a_history_has_no_impressions(client: httpx.Client, released: Settings) -> None:
    user, (viewed, shown) = str(uuid.uuid4()), popular(released, 3)[1:]
    done = [
        *((viewed, "view", 9), (viewed, "impression", 10)),
        *((shown, "impression", 11), (viewed, "click", 8)),
    ]
    with connect(released) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into two_tower.events (user_id, video_id, kind, happened_at)"
            " values (%s, %s, %s, %s)",
            [
                (user, video, kind, datetime(2026, 1, 1, hour, tzinfo=UTC))
                for video, kind, hour in done
            ],
        )
    (row,) = read(client, "person", user_id=user)["history"]
    assert (row["video_id"], row["kind"], row["at"]) == (viewed, "view", "2026-01-01T09:00:00")
    assert (row["is_liked"], row["stars"]) == (False, None)
