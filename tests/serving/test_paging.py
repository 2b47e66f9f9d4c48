"""A list is the same however it is paged and however short it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from postgres_server import PostgresServer
from serving.app_world import Connection, ask, make_app, video


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "paging")


@pytest.fixture
def owner(dsn: str) -> Iterator[Connection]:
    """A connection of the plain role; what a test writes is rolled back."""
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(scope="module")
def likes_dsn(postgres_server: PostgresServer) -> str:
    """Where a visitor's likes have a vector; in the other world nobody's vector changes."""
    return make_app(postgres_server, "search_by_likes", slots=True)


def pages(
    connection: Connection, size: int, function: str, *params: Any, **named: Any
) -> list[Any]:
    return [
        row
        for skipped in range(0, PAGED, size)
        for row in ask(
            connection,
            function,
            *params,
            **named,
            p_limit=min(size, PAGED - skipped),
            p_offset=skipped,
        )
    ]


PAGED = 140  # ends inside the third block
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("recommend_videos", {}),
    "boosts": ("recommend_videos", {}),
    "rotation": ("recommend_videos", {"p_rotation": 1.0}),
    "a filter inside the scan": ("recommend_videos", {"p_filter": {"tags_none": ["mod3_1"]}}),
    "a filter, boosts": ("recommend_videos", {"p_filter": {"tags_none": ["mod3_1"]}}),
    "an exact filter": (
        "recommend_videos",
        {"p_filter": {"ids": [str(video(n)) for n in range(1, 171)]}},
    ),
    "exact, boosts": (
        "recommend_videos",
        {"p_filter": {"ids": [str(video(n)) for n in range(1, 171)]}},
    ),
    "filled up": (
        "recommend_videos",
        {"p_filter": {"ids": [str(video(n)) for n in range(990, 1100)]}},
    ),
    "diverse": ("recommend_videos", {"p_diversity": 0.3}),
    "capped": ("recommend_videos", {"p_filter": {"max_per_maker": 14}}),
    "like one": ("similar_videos", {}),
    "like one, boosts": ("similar_videos", {}),
    "likes": ("recommend_for_likes", {}),
    "likes, boosts": ("recommend_for_likes", {}),
    "popular": ("popular_videos", {}),
    "popular, capped": ("popular_videos", {"p_filter": {"max_per_maker": 12}}),
    "trending": ("trending_videos", {}),
    "new": ("new_videos", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_list_is_the_same_however_it_is_paged(dsn: str, likes_dsn: str, way: str) -> None:
    """A deeper scan of few lists comes by nearer videos: they must not move what was shown."""
    function, named = WAYS[way]
    is_slow = way in ("diverse", "capped")  # each video is compared with all before it
    with psycopg.connect(likes_dsn if way.startswith("likes") else dsn) as connection:
        connection.execute("select two_tower.tune_search(1)")
        connection.execute(
            "create or replace function two_tower.serving_release(p_is_previous boolean default"
            " false, out release_id bigint, out exact_below double precision)"
            " language sql stable as 'select 7::bigint, 0.2::double precision'"
        )
        # Without vectors: popularity fills up with them.
        connection.execute("delete from video_embeddings where video_id > %s", [video(1950)])
        if way.endswith("boosts"):
            connection.execute(
                "insert into two_tower.boosts (video_id, factor)"
                " select video_id, case when price::integer % 20 = 0 then 1.3 else 0.5 end"
                " from two_tower.videos where price::integer % 4 = 0"
            )
        for n in range(3 if is_slow else 10):
            params: list[Any] = {
                "recommend_videos": [f"user_{n}"],
                "similar_videos": [video(100 + n)],
                "recommend_for_likes": [[video(100 + n), video(300 + n)]],
            }.get(function, [])
            if way == "rotation":
                connection.execute(
                    "insert into two_tower.events (user_id, video_id, kind, happened_at)"
                    " select %s, video_id, 'impression', now() - interval '1 hour'"
                    " from two_tower.videos where price::integer %% 6 = 0",
                    params,
                )
            whole = ask(connection, function, *params, **named, p_limit=PAGED)
            assert len({row[0] for row in whole}) == len(whole) >= min(PAGED, 110)
            scores = [row[1] for row in whole]
            assert scores == sorted(scores, reverse=True)
            for size in (7, 10, 20) if n < 2 and not is_slow else (20,):
                paged = pages(connection, size, function, *params, **named)
                assert [row[:2] + row[3:] for row in paged] == [row[:2] + row[3:] for row in whole]
        connection.rollback()


@pytest.mark.parametrize("lowered", ["boosts", "rotation"])
def test_what_is_lowered_makes_room_in_a_short_list_too(owner: Connection, lowered: str) -> None:
    best = [row[0] for row in ask(owner, "recommend_videos", "user_4", 12)]
    if lowered == "boosts":
        owner.execute(
            "insert into two_tower.boosts (video_id, factor)"
            " select v, 0.2 from unnest(%s::uuid[]) v",
            [best],
        )
    else:
        owner.execute(
            "insert into two_tower.events (user_id, video_id, kind, happened_at)"
            " select 'user_4', v, 'impression', now() - interval '1 hour'"
            " from unnest(%s::uuid[]) v",
            [best],
        )
    rows = ask(owner, "recommend_videos", "user_4", 3, p_rotation=1.0)
    assert not {row[0] for row in rows} & set(best)
    assert rows == ask(owner, "recommend_videos", "user_4", 20, p_rotation=1.0)[:3]
