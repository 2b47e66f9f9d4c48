"""What an app's functions find: filters, exclusions, the order asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import errors

from postgres_server import PostgresServer
from serving.app_world import USERS, VIDEOS, Connection, ask, make_app, number, video
from serving.serving_world import clustered


@pytest.fixture(scope="module")
def vectors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return clustered(USERS, 1), clustered(VIDEOS, 2)


@pytest.fixture(scope="module")
def dsn(postgres_server: PostgresServer) -> str:
    return make_app(postgres_server, "search")


@pytest.fixture
def owner(dsn: str) -> Iterator[Connection]:
    """A connection of the plain role; what a test writes is rolled back."""
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


FILTERS = {
    "source": ({"source": "source 1"}, "source = 'source 1'"),
    "several makers": ({"maker": ["maker 1", "maker 2"]}, "maker in ('maker 1', 'maker 2')"),
    "label": ({"label": "label 3"}, "label = 'label 3'"),
    "series": ({"series": ["series 0"]}, "series = 'series 0'"),
    "tags any": ({"tags_any": ["rare", "mod3_1"]}, "tag_ids && '{rare,mod3_1}'"),
    "tags all": ({"tags_all": ["rare", "mod3_1"]}, "tag_ids @> '{rare,mod3_1}'"),
    "tags none": ({"tags_none": ["mod3_1", "mod3_2"]}, "not tag_ids && '{mod3_1,mod3_2}'"),
    "performers any": ({"performers_any": "p1"}, "'p1' = any (performer_ids)"),
    "performers all": ({"performers_all": ["p1", "p2"]}, "false"),
    "performers none": ({"performers_none": ["p1"]}, "not 'p1' = any (performer_ids)"),
    "price": ({"price_min": 10.5, "price_max": 40}, "price between 10.5 and 40"),
    "days": (
        {"released_from": "2025-02-01", "released_to": "2025-02-28"},
        "released_on between '2025-02-01' and '2025-02-28'",
    ),
    "ids": (
        {"ids": [str(video(3)), str(video(900))]},
        f"video_id in ('{video(3)}', '{video(900)}')",
    ),
    "several keys": ({"maker": "maker 1", "price_max": 500}, "maker = 'maker 1' and price <= 500"),
    "an empty list": ({"maker": []}, "false"),
    "a value that is SQL": ({"maker": "x'); drop table two_tower.videos; --%s"}, "false"),
    "a value with a backslash": ({"tags_any": ["\\", "{a,b}", '"', "\\'"]}, "false"),
    "an index that few pass": ({"tags_any": "rare"}, "'rare' = any (tag_ids)"),
}


@pytest.mark.parametrize("probes", [None, 40], ids=["exact", "index"])
@pytest.mark.parametrize("wanted", FILTERS)
def test_a_filter_gives_the_nearest_of_those_that_pass(
    owner: Connection, wanted: str, probes: int | None
) -> None:
    bounds, condition = FILTERS[wanted]
    owner.execute("select two_tower.tune_search(%s)", [probes])
    nearest = owner.execute(
        "select v.video_id, 1 - (v.embedding operator(extensions.<=>) u.embedding) as score"
        " from video_embeddings v cross join user_embeddings u"
        f" join two_tower.videos using (video_id) where u.user_id = 'user_3' and {condition}"  # type: ignore[arg-type]
        " order by score desc, video_id limit 20"
    ).fetchall()

    rows = ask(owner, "recommend_videos", "user_3", p_filter=bounds)

    assert [row[:2] for row in rows] == nearest
    assert {row[3] for row in rows} <= {"model"}


@pytest.mark.parametrize(("tag", "compared"), [("every", 80), ("mod3_1", 80), ("rare", 5)])
def test_a_filter_that_many_pass_is_looked_at_inside_the_scan(
    owner: Connection, tag: str, compared: int
) -> None:
    """The scan takes four for each video wanted; the exact way would compare all that pass."""
    owner.execute("select two_tower.tune_search(40)")
    owner.execute(
        "create or replace function two_tower.serving_release(p_is_previous boolean default false,"
        " out release_id bigint, out exact_below double precision)"
        " language sql stable as 'select 7::bigint, 0.1::double precision'"
    )
    ask(owner, "recommend_videos", "user_3", p_filter={"tags_any": tag})
    row = owner.execute(
        "select idx_tup_fetch from pg_stat_xact_user_tables"
        " where relid = 'public.video_embeddings'::regclass"
    ).fetchone()
    assert row is not None
    # Of those the scan comes by, a third has the tag.
    assert compared <= row[0] < 10 * compared


def test_a_stranger_gets_what_is_popular_within_the_filter(owner: Connection) -> None:
    rows = ask(owner, "recommend_videos", "nobody", 3, p_filter={"maker": "maker 1"})
    rare = ask(owner, "recommend_videos", "nobody", 9, p_filter={"tags_any": "rare"})
    assert [number(row) for row in rows] == [1, 11, 21]
    assert {row[3] for row in rows} == {"popular"}
    assert [number(row) for row in rare] == [400, 800, 1200, 1600, 2000]


def test_rows_say_where_they_come_from_and_what_a_page_shows(owner: Connection) -> None:
    (row,) = ask(owner, "recommend_videos", "user_1", 1)
    n = number(row)
    assert row[2:] == (1, "model", 7, f"Title {n}", f"https://e/{n}.jpg", f"https://e/{n}")


def test_what_is_hidden_or_named_never_comes(owner: Connection) -> None:
    first = ask(owner, "recommend_videos", "user_1", 6)
    owner.execute("insert into two_tower.hidden_videos values (%s)", [first[0][0]])
    rest = ask(owner, "recommend_videos", "user_1", 4, p_exclude=[first[1][0], None])
    assert [row[0] for row in rest] == [row[0] for row in first[2:]]
    popular = ask(owner, "popular_videos", p_limit=1000)
    owner.execute("insert into two_tower.hidden_videos values (%s)", [video(1)])
    assert popular[0][0] == video(1)
    assert video(1) not in [row[0] for row in ask(owner, "popular_videos", p_limit=1000)]
    assert video(1) not in [row[0] for row in ask(owner, "recommend_videos", "nobody")]


def test_what_was_seen_a_moment_ago_is_left_out(owner: Connection) -> None:
    first = ask(owner, "recommend_videos", "user_1", 3)
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind) values ('user_1', %s, 'view')",
        [first[0][0]],
    )
    assert ask(owner, "recommend_videos", "user_1", 2)[0][0] == first[1][0]
    assert ask(owner, "recommend_videos", "user_1", 2, False)[0][0] == first[0][0]


def test_pages_of_a_list_are_the_list(owner: Connection) -> None:
    whole = ask(owner, "recommend_videos", "user_2", 60)
    pages = [
        row
        for page in range(3)
        for row in ask(owner, "recommend_videos", "user_2", 20, p_offset=20 * page)
    ]
    assert [row[:2] for row in pages] == [row[:2] for row in whole]
    assert [row[2] for row in pages] == [*range(1, 21)] * 3


def test_a_boost_multiplies_and_reaches_the_farthest_video(owner: Connection) -> None:
    *_, last = ask(owner, "recommend_videos", "user_4", 1000, p_offset=1000)
    (first,) = ask(owner, "recommend_videos", "user_4", 1)
    owner.execute(
        "insert into two_tower.boosts values (%s, 100, now() - interval '1 day', null),"
        " (%s, 3, now() - interval '2 days', now() - interval '1 day')",
        [last[0], video(5)],
    )
    boosted = ask(owner, "recommend_videos", "user_4", 2)
    assert [row[0] for row in boosted] == [last[0], first[0]]
    assert boosted[0][1] == pytest.approx((1 + last[1]) * 100 - 1, abs=1e-3)
    assert boosted[1][1] == first[1]
    # It is no way around a filter.
    kept = ask(owner, "recommend_videos", "user_4", 2, p_filter={"tags_none": ["every"]})
    assert kept == []


def test_a_boost_brings_back_nothing_that_a_list_must_not_contain(owner: Connection) -> None:
    *_, hidden, named, seen = (
        row[0] for row in ask(owner, "recommend_videos", "user_4", 1000, p_offset=1000)
    )
    with owner.cursor() as cursor:
        cursor.executemany(
            "insert into two_tower.boosts (video_id, factor) values (%s, 100)",
            [(hidden,), (named,), (seen,)],
        )
    boosted = ask(owner, "recommend_videos", "user_4", 3)
    assert {row[0] for row in boosted} == {hidden, named, seen}
    owner.execute("insert into two_tower.hidden_videos (video_id) values (%s)", [hidden])
    owner.execute(
        "insert into two_tower.interactions (user_id, item_id) values ('user_4', %s)", [seen]
    )
    rows = ask(owner, "recommend_videos", "user_4", 20, p_exclude=[named])
    assert len(rows) == 20
    assert not {row[0] for row in rows} & {hidden, named, seen}


@pytest.mark.parametrize("bounds", [{}, {"max_per_maker": 1}])
def test_a_boost_gives_no_score_to_what_has_none(owner: Connection, bounds: dict[str, int]) -> None:
    """Without a vector there is nothing to compare a boosted video with."""
    owner.execute("insert into two_tower.boosts (video_id, factor) values (%s, 5)", [video(999)])
    for rows in (
        ask(owner, "recommend_videos", "nobody", 5, p_filter=bounds),
        ask(owner, "recommend_for_vector", str([0.0] * 128), 5, p_filter=bounds),
    ):
        assert len(rows) == 5
        assert {row[3] for row in rows} == {"popular"}
        assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


def test_diversity_is_maximal_marginal_relevance(
    owner: Connection, vectors: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    users, videos = (rows.astype(np.float16).astype(np.float64) for rows in vectors)
    scores = videos @ users[5] / np.linalg.norm(videos, axis=1) / np.linalg.norm(users[5])
    left = list(np.argsort(-scores)[:200])  # on each page the same
    chosen: list[int] = []
    unit = videos / np.linalg.norm(videos, axis=1, keepdims=True)
    for _ in range(10):
        near = [max([0.0, *(unit[c] @ unit[n] for n in chosen)]) for c in left]
        best = max(range(len(left)), key=lambda i: 0.6 * scores[left[i]] - 0.4 * near[i])
        chosen.append(left.pop(best))

    rows = ask(owner, "recommend_videos", "user_5", 10, p_diversity=0.4)

    assert [number(row) - 1 for row in rows] == chosen
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


def test_caps_hold_over_the_whole_list(owner: Connection) -> None:
    rows = ask(owner, "recommend_videos", "user_6", 20, p_filter={"max_per_maker": 2})
    makers = [number(row) % 10 for row in rows]
    assert len(rows) == 20
    assert max(makers.count(maker) for maker in makers) == 2


def test_a_cap_of_series_leaves_alone_what_is_of_none(owner: Connection) -> None:
    rows = ask(owner, "recommend_videos", "user_6", 20, p_filter={"max_per_series": 1})
    of_one = [number(row) % 3 for row in rows if number(row) % 5 == 0]
    assert len(rows) == 20
    assert len(set(of_one)) == len(of_one) > 0


@pytest.mark.parametrize("wanted", [7, 10, 30])
def test_a_cap_is_kept_where_it_leaves_too_few(owner: Connection, wanted: int) -> None:
    """There are ten makers; popular videos are under the cap too, and nothing seen comes back."""
    owner.execute(
        "insert into two_tower.interactions (user_id, item_id)"
        " select 'user_6', video_id from two_tower.videos where maker = 'maker 3'"
    )
    rows = ask(owner, "recommend_videos", "user_6", wanted, p_filter={"max_per_maker": 1})
    assert len({number(row) % 10 for row in rows}) == len(rows) == min(wanted, 9)
    assert 3 not in {number(row) % 10 for row in rows}
    assert rows[0] == ask(owner, "recommend_videos", "user_6", 1)[0]
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


@pytest.mark.parametrize("function", ["popular_videos", "new_videos", "trending_videos"])
def test_a_cap_holds_in_a_ranking(owner: Connection, function: str) -> None:
    rows = ask(owner, function, p_limit=30, p_filter={"max_per_maker": 2})
    makers = [number(row) % 10 for row in rows]
    assert len(rows) == 20
    assert max(makers.count(maker) for maker in makers) == 2


def test_pages_of_a_diverse_list_repeat_nothing(owner: Connection) -> None:
    pages = [
        row[0]
        for page in range(16)
        for row in ask(owner, "recommend_videos", "user_8", 5, p_diversity=0.5, p_offset=5 * page)
    ]
    assert len(set(pages)) == len(pages) == 80


def test_what_was_shown_and_not_chosen_sinks(owner: Connection) -> None:
    first = ask(owner, "recommend_videos", "user_7", 10)
    shown, chosen = first[0][0], first[1][0]
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind, happened_at)"
        " select 'user_7', v, 'impression', now() - interval '1 hour' from unnest(%s::uuid[]) v",
        [[shown, chosen]],
    )
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind) values ('user_7', %s, 'click')",
        [chosen],
    )
    rotated = [row[0] for row in ask(owner, "recommend_videos", "user_7", 10, p_rotation=1.0)]
    assert rotated[0] == chosen
    assert shown not in rotated
    assert ask(owner, "recommend_videos", "user_7", 10)[0][0] == shown


def test_videos_like_one(owner: Connection) -> None:
    rows = ask(owner, "similar_videos", video(9), 5, p_filter={"source": "source 0"})
    assert len(rows) == 5
    assert all(number(row) % 2 == 0 for row in rows)
    assert video(9) not in [row[0] for row in ask(owner, "similar_videos", video(9), 50)]
    # An unknown one: what is popular.
    assert {row[3] for row in ask(owner, "similar_videos", uuid.UUID(int=99999), 5)} == {"popular"}


def test_given_videos_in_the_order_of_a_taste(owner: Connection) -> None:
    asked = [video(n) for n in (4, 900, 17)] + [uuid.UUID(int=99999)]
    rows = ask(owner, "rank_videos", "user_8", asked)
    assert {row[0] for row in rows} == set(asked[:3])
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert [number(r) for r in ask(owner, "rank_videos", "nobody", asked)] == [4, 17, 900]


def test_a_batch_is_the_lists_one_by_one(owner: Connection) -> None:
    people = ["user_1", "nobody", "user_2"]
    rows = ask(owner, "recommend_batch", people, 4)
    assert rows == [(p, *row) for p in people for row in ask(owner, "recommend_videos", p, 4)]


def test_rows_because_of_what_was_liked(owner: Connection) -> None:
    owner.execute(
        "insert into two_tower.interactions values ('user_9', %s, 1, '2025-12-01'),"
        " ('user_9', %s, 0, '2025-12-31'), ('user_9', %s, 1, '2025-12-30')",
        [video(10), video(11), video(12)],
    )
    rows = ask(owner, "because_you_watched", "user_9", 2, 3)
    assert [(row[8].int, row[9], row[10]) for row in rows] == [(12, "Title 12", 1)] * 3 + [
        (10, "Title 10", 2)
    ] * 3
    assert not {row[0].int for row in rows} & {10, 11, 12}


def test_a_hidden_video_is_no_reason_for_a_row(owner: Connection) -> None:
    owner.execute(
        "insert into two_tower.interactions values ('user_9', %s, 1, '2025-12-01'),"
        " ('user_9', %s, 1, '2025-12-30')",
        [video(10), video(12)],
    )
    owner.execute("insert into two_tower.hidden_videos values (%s)", [video(12)])
    rows = ask(owner, "because_you_watched", "user_9", 1, 3)
    assert [(row[8].int, row[9], row[10]) for row in rows] == [(10, "Title 10", 1)] * 3


def test_people_of_a_taste(owner: Connection) -> None:
    rows = ask(owner, "similar_users", "user_3", 5)
    assert len(rows) == 5
    assert "user_3" not in [row[0] for row in rows]
    assert [row[2] for row in rows] == [1, 2, 3, 4, 5]
    assert ask(owner, "similar_users", "nobody", 5) == []


def test_rankings_go_on_where_they_end(owner: Connection) -> None:
    rows = ask(owner, "popular_videos", "week", 40)
    assert [number(row) for row in rows] == list(range(1, 41))
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert [number(r) for r in ask(owner, "trending_videos", 2, p_filter={"maker": "maker 3"})] == [
        3,
        13,
    ]
    assert [number(r) for r in ask(owner, "new_videos", 2, p_offset=1)] == [2, 3]


def test_whoever_asks_for_themselves_is_who_the_request_is_from(owner: Connection) -> None:
    owner.execute("insert into two_tower.app_users values ('account', 'user_3')")
    owner.execute("select set_config('request.jwt.claims', %s, true)", ['{"sub": "account"}'])
    mine = ask(owner, "recommend_for_me", 5)
    assert mine == ask(owner, "recommend_videos", "user_3", 5)
    owner.execute("select set_config('request.jwt.claims', '', true)")
    with pytest.raises(errors.InsufficientPrivilege, match="from nobody") as refused:
        ask(owner, "recommend_for_me", 5)
    # It has no p_user_id.
    assert "In place of recommend_for_me such a role calls recommend_videos" in str(
        refused.value.diag.message_hint
    )


def test_a_vector_of_zeros_gets_what_is_popular(owner: Connection) -> None:
    rows = ask(owner, "recommend_for_vector", str([0.0] * 128), 3)
    assert [number(row) for row in rows] == [1, 2, 3]


RANKED = ["popular_videos", "trending_videos", "new_videos"]
OF_NOBODY = ["recommend_videos", "recommend_for_likes", "similar_videos"]


def first_arguments(function: str) -> list[Any]:
    return {
        "recommend_videos": ["nobody"],
        "recommend_for_likes": [[]],
        "similar_videos": [uuid.UUID(int=99999)],
    }.get(function, [])


@pytest.mark.parametrize("key", ["max_per_maker", "max_per_series"])
@pytest.mark.parametrize("function", [*RANKED, *OF_NOBODY])
def test_a_cap_is_a_whole_number_in_any_spelling(
    owner: Connection, function: str, key: str
) -> None:
    arguments = first_arguments(function)
    expected = ask(owner, function, *arguments, p_filter={key: 1})
    for spelling in ("1.0", "1e0", "10e-1"):
        rows = owner.execute(
            f"select * from public.{function}({'%s,' * len(arguments)} p_filter => %s::jsonb)",  # type: ignore[arg-type]
            [*arguments, f'{{"{key}": {spelling}}}'],
        ).fetchall()
        assert rows == expected


# The rarest makers are the least popular: the ranking has to be read to its end.
RARE_MAKERS = (
    "update two_tower.videos set maker = case when price > 1960 then 'rare ' || price"
    " when price > 1900 then null else maker end, series = 'series ' || price::integer % 7"
)


@pytest.mark.parametrize("function", [*RANKED, *OF_NOBODY])
def test_a_capped_list_has_all_that_are_eligible(owner: Connection, function: str) -> None:
    owner.execute(RARE_MAKERS)
    arguments = first_arguments(function)
    rows = ask(owner, function, *arguments, p_limit=200, p_filter={"max_per_maker": 2})
    numbers = [number(row) for row in rows]
    # Two each of ten makers, one each of forty, and those that are of none.
    assert numbers == [*range(1, 21), *range(1901, 2001)]
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    both = {"max_per_maker": 2, "max_per_series": 3}
    rows = ask(owner, function, *arguments, p_limit=200, p_filter=both)
    taken: list[int] = []
    for n in range(1, 2001):
        maker = n % 10 if n <= 1900 else -n
        of_maker = [m for m in taken if (m % 10 if m <= 1900 else -m) == maker]
        if len(of_maker) < 2 and len([m for m in taken if m % 7 == n % 7]) < 3:
            taken.append(n)
    assert [number(row) for row in rows] == taken


def test_a_capped_list_of_a_taste_has_all_that_are_eligible(owner: Connection) -> None:
    owner.execute(RARE_MAKERS)
    owner.execute("delete from video_embeddings where video_id > %s", [video(1900)])
    rows = ask(owner, "recommend_videos", "user_6", 200, p_filter={"max_per_maker": 1})
    assert [row[3] for row in rows] == ["model"] * 10 + ["popular"] * 100
    assert [number(row) for row in rows[10:]] == list(range(1901, 2001))


def test_an_experiments_other_release_is_the_one_before(
    owner: Connection, vectors: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    owner.execute(
        "create table video_embeddings_previous (like video_embeddings including all);"
        "create table user_embeddings_previous (like user_embeddings including all);"
        "insert into user_embeddings_previous select * from user_embeddings;"
        "insert into video_embeddings_previous select * from video_embeddings limit 1;"
        "insert into two_tower.model_releases values (8, '20260102_000000', 2000, null);"
        "insert into two_tower.experiments (name, version, control, share, salt)"
        " values ('older', '20260101_000000', '20260102_000000', 0.5, 'salt')"
    )
    owner.execute(
        "insert into two_tower.interactions select 'user_' || n, v.video_id, 1, '2025-12-01'"
        " from generate_series(0, %s) as n cross join video_embeddings_previous as v",
        [USERS - 1],
    )
    groups = {True: 0, False: 0}
    for n in range(USERS):
        rows = ask(owner, "recommend_videos", f"user_{n}", 5, False)
        (is_treated,) = owner.execute(
            "select variant = 'treatment' from two_tower.variant_of(%s)", [f"user_{n}"]
        ).fetchone()  # type: ignore[misc]
        groups[is_treated] += 1
        # There is one video in the former release; popularity fills up.
        assert [row[3] for row in rows].count("model") == (1 if is_treated else 5)
        assert {row[4] for row in rows} == {7 if is_treated else 8}
        rows = ask(owner, "because_you_watched", f"user_{n}", 1, 5)
        assert {row[4] for row in rows} == {7 if is_treated else 8}
    assert min(groups.values()) > 0


# What each list takes first; the request is from user_1.
LISTS: dict[str, list[Any]] = {
    "recommend_videos": ["user_1"],
    "recommend_for_me": [],
    "recommend_for_likes": [[video(9)]],
    "recommend_for_vector": [str([1.0] + [0.0] * 127)],
    "similar_videos": [video(9)],
    "popular_videos": [],
    "new_videos": [],
    "trending_videos": [],
}


@pytest.mark.parametrize("function", LISTS)
def test_each_list_heeds_what_it_is_asked(owner: Connection, function: str) -> None:
    def ids(limit: int, **named: Any) -> list[Any]:
        rows = ask(owner, function, *LISTS[function], p_limit=limit, **named)
        return [row[0] for row in rows]

    owner.execute("select set_config('request.jwt.claims', %s, true)", ['{"sub": "user_1"}'])
    whole = ids(12)
    assert len(whole) == 12
    assert ids(5, p_exclude=[whole[0], whole[2]]) == [whole[1], *whole[3:7]]
    assert ids(5, p_filter={"ids": [str(whole[3]), str(whole[7])]}) == [whole[3], whole[7]]
    if function != "recommend_for_vector":
        assert ids(4, p_offset=2) == whole[2:6]
    owner.execute("insert into two_tower.hidden_videos values (%s)", [whole[1]])
    assert ids(5) == [whole[0], *whole[2:6]]


def test_a_list_for_me_is_that_of_my_id_whatever_else_is_asked(owner: Connection) -> None:
    owner.execute("select set_config('request.jwt.claims', %s, true)", ['{"sub": "user_1"}'])
    first = ask(owner, "recommend_videos", "user_1", 3)
    for row in first:
        owner.execute(
            "insert into two_tower.events (user_id, video_id, kind, happened_at)"
            " values ('user_1', %s, 'impression', now() - interval '1 hour')",
            [row[0]],
        )
    for option in ({"p_rotation": 0.6}, {"p_diversity": 0.6}, {"p_rotation": 0.2}):
        mine = ask(owner, "recommend_for_me", 6, **option)
        assert mine == ask(owner, "recommend_videos", "user_1", 6, **option)
        assert [row[0] for row in mine[:3]] != [row[0] for row in first]


def test_similar_videos_may_be_diverse_and_are_without_what_a_user_has_seen(
    owner: Connection,
) -> None:
    first = [row[0] for row in ask(owner, "similar_videos", video(9), 10)]
    assert [r[0] for r in ask(owner, "similar_videos", video(9), 10, p_diversity=0.6)] != first
    owner.execute(
        "insert into two_tower.interactions (user_id, item_id) values ('user_1', %s)", [first[0]]
    )
    rows = ask(owner, "similar_videos", video(9), 5, p_user_id="user_1")
    assert [row[0] for row in rows] == first[1:6]
    assert ask(owner, "similar_videos", video(9), 1)[0][0] == first[0]


def test_rows_are_of_the_last_likes_that_have_a_vector(owner: Connection) -> None:
    """Of the app's events too, those of no known moment last; what was seen is in none of them."""
    owner.execute(
        "insert into two_tower.interactions values ('user_9', %s, 1, null),"
        " ('user_9', %s, 1, '2025-12-30'), ('user_9', %s, 1, '2025-12-31')",
        [video(10), video(12), video(13)],
    )
    owner.execute("delete from public.video_embeddings where video_id = %s", [video(13)])
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind, happened_at) values"
        " ('user_9', %s, 'like', '2026-01-02'), ('user_9', %s, 'purchase', '2026-01-03')",
        [video(20), video(21)],
    )
    seen = ask(owner, "similar_videos", video(12), 1)[0][0]
    owner.execute("insert into two_tower.interactions values ('user_9', %s, 0, null)", [seen])
    rows = ask(owner, "because_you_watched", "user_9", 5, 5)
    assert list(dict.fromkeys(row[8].int for row in rows)) == [21, 20, 12, 10]
    assert seen not in {row[0] for row in rows}


def test_what_is_to_be_ranked_is_ranked_though_it_was_seen(owner: Connection) -> None:
    owner.execute(
        "insert into two_tower.interactions (user_id, item_id) values ('user_8', %s)", [video(4)]
    )
    asked = [video(n) for n in (4, 900, 17)]
    assert {row[0] for row in ask(owner, "rank_videos", "user_8", asked)} == set(asked)


def test_a_batch_leaves_out_what_each_has_seen(owner: Connection) -> None:
    first, second = (row[0] for row in ask(owner, "recommend_videos", "user_1", 2))
    owner.execute(
        "insert into two_tower.interactions (user_id, item_id) values ('user_1', %s)", [first]
    )
    assert ask(owner, "recommend_batch", ["user_1"], 1)[0][1] == second


def test_a_window_is_a_ranking_and_a_month_is_the_default(owner: Connection) -> None:
    owner.execute(
        "delete from two_tower.video_rankings where ranking = 'month';"
        "insert into two_tower.video_rankings select w, lpad(to_hex(n), 32, '0')::uuid, 0.5, 1"
        " from (values ('day', 41), ('month', 42), ('year', 43), ('all', 44)) as w (w, n)"
    )
    for window, first in (("day", 41), ("month", 42), (None, 42), ("year", 43), ("all", 44)):
        assert number(ask(owner, "popular_videos", window, 1)[0]) == first
    assert number(ask(owner, "popular_videos", p_limit=1)[0]) == 42


def test_likes_may_come_back_where_that_is_asked(owner: Connection) -> None:
    liked = [video(1)]
    assert ask(owner, "recommend_for_likes", liked, 1)[0][0] == video(2)
    assert ask(owner, "recommend_for_likes", liked, 1, False)[0][0] == video(1)


def test_boosts_count_while_they_hold_multiply_and_may_lower(owner: Connection) -> None:
    past, coming, twice, lower, last = ask(owner, "recommend_videos", "user_4", 5)
    far = ask(owner, "recommend_videos", "user_4", 1000, p_offset=1000)[-1][0]
    owner.execute(
        'insert into two_tower.boosts (video_id, factor, "from", until) values'
        " (%(past)s, 3, now() - interval '2 days', now() - interval '1 day'),"
        " (%(far)s, 100, now() - interval '2 days', now()),"
        " (%(coming)s, 3, now() + interval '1 day', null),"
        " (%(twice)s, 1.5, now() - interval '1 day', null),"
        " (%(twice)s, 2, now() - interval '2 days', null),"
        " (%(lower)s, 0.1, now() - interval '1 day', null)",
        {"past": past[0], "far": far, "coming": coming[0], "twice": twice[0], "lower": lower[0]},
    )
    rows = ask(owner, "recommend_videos", "user_4", 4)
    assert [row[0] for row in rows] == [twice[0], past[0], coming[0], last[0]]
    assert rows[0][1] == pytest.approx((1 + twice[1]) * 3 - 1, abs=1e-3)
    assert [row[1] for row in rows[1:]] == [past[1], coming[1], last[1]]


@pytest.mark.parametrize(
    ("kind", "user", "ago", "lost"),
    [
        ("impression", "user_7", [0], 1 - np.exp(-1)),
        ("impression", "user_7", [3], 1 - np.exp(-np.exp(-1))),
        ("impression", "user_7", [0, 3], 1 - np.exp(-1 - np.exp(-1))),
        ("impression", "user_7", [15], 0),
        ("impression", "user_8", [0], 0),
        ("click", "user_7", [0], 0),
    ],
)
def test_an_impression_fades_in_days_and_is_one_persons(
    owner: Connection, kind: str, user: str, ago: list[int], lost: float
) -> None:
    first = ask(owner, "recommend_videos", "user_7", 1)[0]
    # A click of an hour before it was shown is no answer to it.
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind, happened_at)"
        " select %(user)s, %(video)s, %(kind)s, now() - make_interval(days => d)"
        " from unnest(%(ago)s) as d union all"
        " select 'user_7', %(video)s, 'click', now() - make_interval(days => max(d), hours => 1)"
        " from unnest(%(ago)s) as d",
        {"video": first[0], "user": user, "kind": kind, "ago": ago},
    )
    rows = ask(owner, "recommend_videos", "user_7", 50, p_rotation=0.01)
    scores = {row[0]: row[1] for row in rows}
    assert scores[first[0]] == pytest.approx(first[1] - 0.01 * lost, abs=1e-5)


def test_the_ends_of_a_price_are_in_it_and_no_price_is_in_none(owner: Connection) -> None:
    owner.execute("update two_tower.videos set price = null where video_id = %s", [video(11)])
    between = {"price_min": 10, "price_max": 12}
    assert [number(r) for r in ask(owner, "new_videos", p_filter=between)] == [10, 12]
    for bounds in ({"price_max": 12}, {"price_min": 0}):
        assert 11 not in {number(r) for r in ask(owner, "new_videos", p_filter=bounds)}


def test_what_a_ranking_goes_on_with_passes_the_filter_too(owner: Connection) -> None:
    rows = ask(owner, "new_videos", 10, p_filter={"maker": "maker 3"})
    assert [number(row) for row in rows] == [3 + 10 * place for place in range(10)]


def test_an_experiments_other_release_is_asked_the_same(owner: Connection) -> None:
    owner.execute(
        "create table video_embeddings_previous (like video_embeddings including all);"
        "create table user_embeddings_previous (like user_embeddings including all);"
        "insert into video_embeddings_previous select * from video_embeddings;"
        "insert into user_embeddings_previous"
        " select 'user_1', embedding from user_embeddings where user_id = 'user_2';"
        "insert into two_tower.model_releases values (8, '20260102_000000', 2000, null);"
    )
    theirs = ask(owner, "recommend_videos", "user_2", 8, p_filter={"source": "source 1"})
    start = (
        "insert into two_tower.experiments (name, version, control, share, salt, started_at)"
        " values ('older', '20260101_000000', '20260102_000000', 0.999999, 'salt', %s)"
    )
    with owner.transaction(force_rollback=True):
        owner.execute(start, ["2999-01-01"])  # not yet
        assert {row[4] for row in ask(owner, "recommend_videos", "user_1", 3)} == {8}
    owner.execute(start, ["2026-01-01"])
    rows = ask(
        owner,
        "recommend_videos",
        "user_1",
        5,
        p_filter={"source": "source 1"},
        p_exclude=[theirs[0][0]],
        p_offset=1,
    )
    assert [row[0] for row in rows] == [row[0] for row in theirs[2:7]]


def test_a_purchase_is_seen(owner: Connection) -> None:
    first, second = (row[0] for row in ask(owner, "recommend_videos", "user_1", 2))
    owner.execute(
        "insert into two_tower.events (user_id, video_id, kind) values ('user_1', %s, 'purchase')",
        [first],
    )
    assert ask(owner, "recommend_videos", "user_1", 1)[0][0] == second


@pytest.mark.parametrize("function", ["recommend_videos", "rank_videos"])
def test_an_id_is_found_as_it_is_written(owner: Connection, function: str) -> None:
    params = [[video(4), video(17)]] if function == "rank_videos" else [2]
    assert ask(owner, function, "\u200buser_3 ", *params) == ask(owner, function, "user_3", *params)
    (row,) = ask(owner, function, "user_3", *params)[:1]
    assert row[3] == "model"
