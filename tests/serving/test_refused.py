"""Which arguments the app's functions refuse, and the most that they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from postgres_server import PostgresServer
from serving.app_world import Connection, ask, make_app, video


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "refused")


@pytest.fixture
def owner(dsn: str) -> Iterator[Connection]:
    """A connection of the plain role; what a test writes is rolled back."""
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


def test_each_list_of_ids_is_as_long_as_it_may_be(owner: Connection) -> None:
    ids = [video(n) for n in range(1, 10_001)]
    assert ask(owner, "similar_videos", video(9), p_exclude=ids) == []
    assert ask(owner, "recommend_for_likes", ids, p_exclude=ids) == []
    assert len(ask(owner, "rank_videos", "user_1", ids[:1000])) == 1000


def test_nulls_among_ids_are_ignored(owner: Connection) -> None:
    asked = [video(4), None, video(17)]
    assert ask(owner, "rank_videos", "user_8", asked) == ask(
        owner, "rank_videos", "user_8", [video(4), video(17)]
    )
    for nothing in ([], [None], None):
        assert (
            owner.execute("select * from rank_videos('user_8', %s::uuid[])", [nothing]).fetchall()
            == []
        )


FLATTENED = {
    "recommend_videos": "'user_1', p_exclude => %s",
    "recommend_for_likes": "%s",
    "recommend_for_likes without": "'{}', p_exclude => %s",
    "recommend_for_vector": "array_fill(1, array[128])::extensions.halfvec, p_exclude => %s",
    "similar_videos": "'00000000-0000-0000-0000-000000000009', p_exclude => %s",
    "rank_videos": "'user_1', %s",
    "popular_videos": "p_exclude => %s",
    "trending_videos": "p_exclude => %s",
    "new_videos": "p_exclude => %s",
}


@pytest.mark.parametrize("call", FLATTENED)
def test_an_array_of_arrays_is_all_of_its_ids(owner: Connection, call: str) -> None:
    def rows(ids: list[Any]) -> list[Any]:
        text = f"select * from {call.split()[0]}({FLATTENED[call]})"
        return owner.execute(text.replace("%s", "%s::uuid[]"), [ids]).fetchall()  # type: ignore[arg-type]

    ids = [video(n) for n in (1, 2, 3, 4)]
    assert rows([ids[:2], ids[2:]]) == rows(ids) != []


TEXT_KEYS = [
    *("source", "maker", "label", "series", "tags_any", "tags_all", "tags_none"),
    *("performers_any", "performers_all", "performers_none"),
]
EXCLUDED = "p_exclude has 10,001 videos: 10,000 are the most"
REFUSED: dict[str, tuple[str, list[Any], dict[str, Any], str]] = {
    "limit": ("recommend_videos", ["user_1", 1001], {}, "p_limit is 1001"),
    "negative limit": ("recommend_videos", ["user_1", -1], {}, "p_limit is -1"),
    "offset": ("popular_videos", [], {"p_offset": 10001}, "p_offset is 10001"),
    "excluded": ("recommend_videos", ["user_1"], {"p_exclude": [video(1)] * 10001}, EXCLUDED),
    "excluded by a visitor": (
        "recommend_for_likes",
        [[]],
        {"p_exclude": [video(1)] * 10001},
        EXCLUDED,
    ),
    "excluded of one": ("similar_videos", [video(1)], {"p_exclude": [video(1)] * 10001}, EXCLUDED),
    "excluded of a ranking": ("new_videos", [], {"p_exclude": [video(1)] * 10001}, EXCLUDED),
    "likes": (
        "recommend_for_likes",
        [[video(1)] * 10001],
        {},
        "p_video_ids has 10,001 videos: 10,000 are the most",
    ),
    "ranked": (
        "rank_videos",
        ["user_1", [video(1)] * 1001],
        {},
        "p_video_ids has 1,001 videos: 1,000 are the most",
    ),
    "long rows": ("because_you_watched", ["user_1", 3, 1001], {}, "p_per_row is 1001"),
    "people": ("recommend_batch", [["a"] * 10001], {}, "10001 users"),
    "long batch": ("recommend_batch", [["a"], 101], {}, "p_limit is 101"),
    "rows": ("because_you_watched", ["user_1", 21], {}, "p_rows is 21"),
    "window": ("popular_videos", ["decade"], {}, "day, week, month, year or all"),
    "diversity": ("recommend_videos", ["user_1"], {"p_diversity": 1.5}, "p_diversity"),
    "NaN": ("recommend_videos", ["user_1"], {"p_rotation": float("nan")}, "p_rotation"),
    "long diverse list": ("recommend_videos", ["user_1", 201], {"p_diversity": 0.1}, "200"),
    "unknown key": ("recommend_videos", ["user_1"], {"p_filter": {"tag": "a"}}, "no key tag"),
    "no text": ("recommend_videos", ["user_1"], {"p_filter": {"maker": 3}}, "maker in p_filter"),
    "null in a list": ("new_videos", [], {"p_filter": {"maker": ["a", None]}}, "maker in p_filter"),
    "no number": ("new_videos", [], {"p_filter": {"price_min": "9"}}, "price_min in p_filter"),
    "no day": ("new_videos", [], {"p_filter": {"released_to": "2025-02-30"}}, "released_to in"),
    "no id": ("new_videos", [], {"p_filter": {"ids": ["x"]}}, "ids in p_filter"),
    "no cap": ("new_videos", [], {"p_filter": {"max_per_maker": 0}}, "max_per_maker in p_filter"),
    "half a cap": ("new_videos", [], {"p_filter": {"max_per_maker": 1.5}}, "no whole number"),
    "long capped list": (
        "new_videos",
        [201],
        {"p_filter": {"max_per_maker": 1}},
        "200 are the most",
    ),
    **{
        f"a list in the list of {key}": (
            "new_videos",
            [],
            {"p_filter": {key: [["a"]]}},
            f"{key} in p_f",
        )
        for key in (*TEXT_KEYS, "ids")
    },
    "huge number": ("new_videos", [], {"p_filter": {"max_per_maker": 1e300}}, "max_per_maker"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_cost_too_much_or_means_nothing_is_refused(owner: Connection, what: str) -> None:
    function, params, named, message = REFUSED[what]
    with pytest.raises(errors.InvalidParameterValue, match=message):
        ask(owner, function, *params, **named)


@pytest.mark.parametrize(
    ("price", "is_too"), [("1e400", "large"), ("-1e999", "large"), ("1e-400", "small")]
)
def test_a_number_that_no_price_reaches_is_refused(
    owner: Connection, price: str, is_too: str
) -> None:
    with pytest.raises(errors.InvalidParameterValue) as refused:
        owner.execute(
            "select * from new_videos(p_filter => %s::jsonb)", [f'{{"price_min": {price}}}']
        )
    assert refused.value.diag.message_primary == f"price_min in p_filter is too {is_too} a number"


def test_a_filter_that_is_no_object_is_refused(owner: Connection) -> None:
    for text in ("[]", "3", '"maker"', "null"):
        with pytest.raises(errors.InvalidParameterValue), owner.transaction():
            owner.execute("select * from recommend_videos('user_1', p_filter => %s::jsonb)", [text])
    assert (
        len(owner.execute("select * from recommend_videos('user_1', p_filter => null)").fetchall())
        == 20
    )


def test_nulls_are_the_defaults(owner: Connection) -> None:
    every = ask(owner, "recommend_videos", "user_1", None, None, None, None, None, None, None)
    assert every == ask(owner, "recommend_videos", "user_1")


def test_the_most_that_is_allowed_is_allowed(owner: Connection) -> None:
    ids = [str(video(n + 1)) for n in range(10_000)]
    assert ask(owner, "popular_videos", p_limit=1000, p_offset=10_000) == []
    assert ask(owner, "new_videos", 1, p_filter={"ids": ids, "max_per_maker": 1000})
    for named in ({"p_filter": {"ids": [*ids, ids[0]]}}, {"p_filter": {"max_per_maker": 1001}}):
        with pytest.raises(errors.InvalidParameterValue), owner.transaction():
            ask(owner, "new_videos", 1, **named)
    with pytest.raises(errors.InvalidParameterValue, match="p_limit is 1001"):
        ask(owner, "similar_users", "user_1", 1001)
