"""The functions an app calls, and the Recommender: each link of the chain, on both engines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest
import tiny_model
from serving_world import World, clustered, make_world, user_id, video_id

from conftest import folders, make_settings
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.dsn import target_dsn
from two_tower.database.warehouse import PostgresWarehouse, open_warehouse
from two_tower.operations import setup
from two_tower.serving import slot_vectors
from two_tower.serving.recommender import AsyncRecommender, Recommender
from two_tower.serving.release import release

VERSION = "20260101_000001"
USERS, VIDEOS = 80, 4000
POPULAR = [video_id(number) for number in range(3)]


def released(settings: Settings, folder: Path) -> World:
    """Release clustered vectors and publish the model of that version."""
    setup.prepare(settings)
    world = make_world(settings, USERS, VIDEOS)
    with open_warehouse(settings) as database:
        tiny_model.make_feature_tables(database, [video_id(number) for number in range(6)])
    tiny_model.publish(settings, VERSION, folder)
    world.land(VERSION)
    release(settings)
    with open_warehouse(settings) as database:  # came after the release
        database.execute(
            "insert into two_tower.user_feature_slots"
            " values ('late', array[1, 1], array[0, 2], array[1, 1])"
        )
        with database.transaction():
            slot_vectors.land(database, Encoder(Registry(settings).fetch(VERSION)), None)
        database.execute(
            "insert into two_tower.interactions (user_id, item_id)"
            " select 'greedy', video_id from two_tower.videos"
        )
        database.execute(
            "insert into two_tower.interactions (user_id, item_id)"
            f" values ('stranger', '{POPULAR[0]}')"
        )
        # As the model has it: the search looks up each video that it comes by.
        database.execute("create index seen on two_tower.interactions (user_id, item_id)")
    return world


@pytest.fixture(scope="module")
def worlds(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    folder = tmp_path_factory.mktemp("recommend")
    duck = make_settings("duckdb", duckdb_path=folder / "w.duckdb", **folders(folder))
    database = PostgresWarehouse(postgres_dsn)
    database.execute("drop schema if exists raw, two_tower, public cascade")
    database.execute("create schema public")
    database.close()
    postgres = make_settings("postgres", database_url=postgres_dsn, **folders(folder / "pg"))
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        # Less than the k-means of 126 lists takes: a release sees to its room itself.
        patch.setenv("PGOPTIONS", "-c maintenance_work_mem=1MB")
        for name, settings in (("duckdb", duck), ("postgres", postgres)):
            patch.setenv("DBT_TARGET_PATH", str(folder / f"target_{name}"))
            made[name] = released(settings, folder)
    return made


@contextmanager
def searched_exactly(settings: Settings) -> Iterator[None]:
    """Let the functions read the whole table, as DuckDB does: k-means makes other lists each time.

    The functions carry settings of their own, so one of the session would do nothing.
    """
    if settings.target == "duckdb":
        yield
        return
    with open_warehouse(settings) as database:
        served = "select probes from two_tower.model_releases order by release_id desc limit 1"
        database.execute("select two_tower.tune_search(null)")
        try:
            yield
        finally:
            database.execute(f"select two_tower.tune_search(({served}))")


@pytest.fixture(params=["duckdb", "postgres"])
def settings(request: pytest.FixtureRequest, worlds: dict[str, World]) -> Settings:
    found: Settings = worlds[request.param].settings
    return found


@pytest.fixture
def recommender(settings: Settings) -> Iterator[Recommender]:
    with Recommender(settings) as opened:
        yield opened


def test_a_user_with_a_vector_gets_the_nearest_videos_by_falling_cosine(
    settings: Settings, recommender: Recommender
) -> None:
    """By the index every score is the cosine it should be; without it none that is nearer lacks."""
    seed = int("".join(filter(str.isdigit, VERSION)))
    users, videos = clustered(USERS, 2 * seed), clustered(VIDEOS, 2 * seed + 1)
    cosine = dict(zip((video_id(n) for n in range(VIDEOS)), videos @ users[3], strict=True))
    by_index = recommender.recommend(user_id(3), limit=10)
    with searched_exactly(settings):
        nearest = recommender.recommend(user_id(3), limit=10)
    for rows in (by_index, nearest):
        assert [row.rank for row in rows] == list(range(1, 11))
        assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
        assert np.allclose(
            [row.score for row in rows], [cosine[row.video_id] for row in rows], atol=1e-3
        )
    assert np.allclose([row.score for row in nearest], sorted(cosine.values())[:-11:-1], atol=1e-3)


def test_both_engines_answer_the_same(worlds: dict[str, World]) -> None:
    answers = []
    for world in worlds.values():
        with Recommender(world.settings) as recommender, searched_exactly(world.settings):
            answers.append([recommender.recommend(user_id(n), 20, n != 1) for n in range(5)])
            answers[-1].append(recommender.similar(video_id(9), 20))
    for ours, theirs in zip(*answers, strict=True):
        assert {row.video_id for row in ours} == {row.video_id for row in theirs}
        assert np.allclose([r.score for r in ours], [r.score for r in theirs], atol=1e-3)


def test_what_the_user_has_seen_is_left_out_unless_asked_for(
    settings: Settings, recommender: Recommender
) -> None:
    with searched_exactly(settings):
        before = [row.video_id for row in recommender.recommend(user_id(7), 25)]
        seen = ", ".join(f"('{user_id(7)}', '{video}'::uuid)" for video in before[:5])
        with open_warehouse(settings) as database:
            database.execute(f"insert into two_tower.interactions (user_id, item_id) values {seen}")
        unseen = [row.video_id for row in recommender.recommend(user_id(7), 20)]
        all_of_them = recommender.recommend(user_id(7), 25, exclude_seen=False)
    assert unseen == before[5:]
    assert [row.video_id for row in all_of_them] == before


def test_an_unknown_user_gets_what_is_popular(recommender: Recommender) -> None:
    rows = recommender.recommend("nobody", limit=3)
    assert [row.video_id for row in rows] == POPULAR
    assert [row.rank for row in rows] == [1, 2, 3]


def test_popularity_leaves_out_what_a_stranger_has_seen(recommender: Recommender) -> None:
    assert [row.video_id for row in recommender.recommend("stranger", 2)] == POPULAR[1:]


def test_who_has_seen_everything_gets_what_is_popular_again(recommender: Recommender) -> None:
    assert [row.video_id for row in recommender.recommend("greedy", limit=3)] == POPULAR


def test_a_user_who_came_after_the_release_is_encoded(recommender: Recommender) -> None:
    late = recommender.recommend("late", 5)
    assert [row.video_id for row in late] != [video_id(number) for number in range(5)]
    likes = recommender.recommend_for_likes([video_id(0), video_id(2)], 5)
    others = {video_id(0), video_id(2)}
    assert not others & {row.video_id for row in likes}
    assert {r.video_id for r in likes} | others >= {r.video_id for r in late}


def test_likes_that_no_model_knows_get_what_is_popular(recommender: Recommender) -> None:
    rows = recommender.recommend_for_likes([video_id(3000)], 3)
    assert [row.video_id for row in rows] == POPULAR
    assert [row.video_id for row in recommender.recommend_for_likes([], 3)] == POPULAR


def test_a_damaged_registry_leaves_popularity(
    worlds: dict[str, World], caplog: pytest.LogCaptureFixture
) -> None:
    """On DuckDB; Postgres encodes by itself."""
    settings = worlds["duckdb"].settings
    (model,) = settings.path(Path(settings.registry_url)).rglob(f"two_tower_{VERSION}.onnx")
    content = model.read_bytes()
    model.write_bytes(b"damaged")
    try:
        with Recommender(settings) as recommender, caplog.at_level(logging.WARNING):
            assert recommender._duckdb is not None
            recommender._duckdb._registry.storage.cache_dir = model.parent / "no_cache"
            rows = recommender.recommend("late", limit=3)
    finally:
        model.write_bytes(content)
    assert [row.video_id for row in rows] == POPULAR
    assert {row.source for row in rows} == {"popular"}
    assert VERSION in caplog.text


def test_similar_videos_leave_out_the_video_itself(recommender: Recommender) -> None:
    rows = recommender.similar(video_id(9), limit=5)
    assert len(rows) == 5
    assert video_id(9) not in {row.video_id for row in rows}
    assert [row.video_id for row in recommender.similar(video_id(99_999), 3)] == POPULAR


def test_titles_are_in_the_rows_and_a_bad_id_is_named(recommender: Recommender) -> None:
    rows = recommender.recommend("nobody", limit=2)
    assert [(row.title, row.product_url) for row in rows] == [
        ("Title 0", "https://e/0"),
        ("Title 1", "https://e/1"),
    ]
    with pytest.raises(InputError, match="no video id"):
        recommender.similar("not a uuid")


def test_each_row_says_what_it_is_from(recommender: Recommender) -> None:
    for rows, source in (
        (recommender.recommend(user_id(3), 3), "model"),
        (recommender.similar(video_id(9), 3), "model"),
        (recommender.recommend_for_likes([video_id(0)], 3), "likes"),
        (recommender.recommend("nobody", 3), "popular"),
    ):
        assert [row.source for row in rows] == [source] * 3
        assert len({row.release_id for row in rows}) == 1
        assert rows[0].release_id is not None


def test_duckdb_has_three_calls_without_options(worlds: dict[str, World]) -> None:
    with Recommender(worlds["duckdb"].settings) as recommender:
        with pytest.raises(InputError, match="DuckDB has no trending_videos"):
            recommender.trending()
        with pytest.raises(InputError, match="knows no diversity, filter"):
            recommender.recommend("u", filter={"maker": "m"}, diversity=0.5)
        kept = recommender.recommend_for_likes([video_id(0)], VIDEOS // 4, exclude_seen=False)
        assert len(kept) == VIDEOS // 4
    with pytest.raises(InputError, match="needs Postgres"):
        AsyncRecommender(worlds["duckdb"].settings)


def test_without_tables_there_is_an_error_with_a_mend(duckdb_settings: Settings) -> None:
    with Recommender(duckdb_settings) as recommender, pytest.raises(NotEnoughDataError):
        recommender.recommend("anybody")


def test_popularity_answers_before_the_first_release(duckdb_settings: Settings) -> None:
    make_world(duckdb_settings, users=1, videos=5)
    with Recommender(duckdb_settings) as recommender:
        assert [row.video_id for row in recommender.recommend("anybody", 3)] == POPULAR


@pytest.fixture
def connection(worlds: dict[str, World]) -> Iterator[psycopg.Connection]:
    """A connection whose changes are undone."""
    with psycopg.connect(target_dsn(worlds["postgres"].settings)) as opened:
        yield opened
        opened.rollback()


def test_empty_tables_answer_with_popularity_in_sql_too(connection: psycopg.Connection) -> None:
    connection.execute("truncate public.user_embeddings, public.video_embeddings")
    for call in (
        f"recommend_videos('{user_id(3)}', 3)",
        f"recommend_videos('{user_id(3)}', 3, false)",
        f"similar_videos('{video_id(9)}', 3)",
    ):
        rows = connection.execute(f"select video_id::text from public.{call}").fetchall()
        assert [row[0] for row in rows] == POPULAR


@pytest.mark.parametrize(("limit", "rows"), [("0", 0), ("null", 20), ("7", 7)])
def test_no_limit_is_an_error(connection: psycopg.Connection, limit: str, rows: int) -> None:
    call = f"select * from public.recommend_videos('{user_id(3)}', {limit})"
    assert len(connection.execute(call).fetchall()) == rows


def test_the_measured_probes_are_stored_and_used(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "select lists, probes, recall, scanned_share, is_chosen from two_tower.index_measurements"
    ).fetchall()
    chosen = [row[:3] for row in rows if row[4]]
    assert len(chosen) == 1
    # What finds enough in a fifth of the lists: the cheapest that finds .995, or the best of them.
    cheap = sorted((min(row[2], 0.995), -row[1]) for row in rows if row[3] <= 0.2)
    assert cheap[-1][0] >= 0.95
    assert chosen[0][1] == -cheap[-1][1]
    indexed = "select tablename from pg_indexes where indexname like 'idx_%_cosine'"
    assert connection.execute(indexed).fetchall() == [("video_embeddings",)], "80 users need none"
    lists, probes, recall = chosen[0]
    assert lists == 126  # twice the square root of 4,000
    assert probes in (1, 2, 3, 4, 6, 8, 11, 16, 23)  # where the lists lie is up to chance
    assert recall >= 0.95
    settings = connection.execute(
        "select proname, proconfig, provolatile, prosecdef from pg_proc where proname = any (%s)",
        (["find_videos", "similar_users"],),
    ).fetchall()
    assert len(settings) == 2
    for name, config, volatility, is_definer in settings:
        expected = {f"ivfflat.probes={probes}", "enable_seqscan=off"}
        assert expected <= set(config), name
        assert (volatility, is_definer) == ("s", name == "similar_users")


def test_a_deep_list_reads_on_where_the_probed_lists_end(connection: psycopg.Connection) -> None:
    """One probe holds some 30 of 4,000 videos; of 300 that are asked for nearly all are right."""
    users = [user_id(number) for number in range(20)]
    call = "select array_agg(video_id::text) from public.recommend_videos(%s, 300)"

    def lists() -> list[set[str]]:
        rows = [connection.execute(call, [user]).fetchone() for user in users]
        return [set(row[0]) for row in rows if row is not None]

    connection.execute("select two_tower.tune_search(null)")
    exact = lists()
    connection.execute("select two_tower.tune_search(1)")
    found = lists()
    shares = [len(a & b) / 300 for a, b in zip(exact, found, strict=True)]
    assert sum(shares) / len(shares) > 0.97


def test_an_app_may_rely_on_the_functions_arguments_and_columns(
    connection: psycopg.Connection,
) -> None:
    found = connection.execute(
        "select proname, pg_get_function_arguments(oid), pg_get_function_result(oid) from pg_proc"
        " where proname in ('recommend_videos', 'similar_videos') order by proname"
    ).fetchall()
    answer = (
        "TABLE(video_id uuid, score double precision, rank integer, source text,"
        " release_id bigint, title text, thumbnail_url text, product_url text)"
    )
    bounds = "p_filter jsonb DEFAULT '{}'::jsonb, p_exclude uuid[] DEFAULT '{}'::uuid[]"
    assert found == [
        (
            "recommend_videos",
            "p_user_id text, p_limit integer DEFAULT 20, p_exclude_seen boolean DEFAULT true,"
            f" {bounds}, p_diversity double precision DEFAULT 0,"
            " p_rotation double precision DEFAULT 0, p_offset integer DEFAULT 0",
            answer,
        ),
        (
            "similar_videos",
            f"p_video_id uuid, p_limit integer DEFAULT 20, {bounds},"
            " p_diversity double precision DEFAULT 0, p_offset integer DEFAULT 0,"
            " p_user_id text DEFAULT NULL::text",
            answer,
        ),
    ]


def scans(connection: psycopg.Connection) -> tuple[int, int]:
    """Scans of the videos' table by eight calls: from the sixth on a plan may be generic."""
    for number in range(8):
        connection.execute(f"select from public.recommend_videos('{user_id(number)}')")
    row = connection.execute(
        "select seq_scan, idx_scan from pg_stat_xact_user_tables"
        " where relid = 'public.video_embeddings'::regclass"
    ).fetchone()
    assert row is not None
    return row


def test_the_plan_uses_the_index(connection: psycopg.Connection) -> None:
    assert scans(connection) == (0, 8)


def test_where_exact_search_was_chosen_no_index_is_read(connection: psycopg.Connection) -> None:
    connection.execute("select two_tower.tune_search(null)")
    assert scans(connection) == (8, 0)
    call = f"select * from public.recommend_videos('{user_id(3)}')"
    assert len(connection.execute(call).fetchall()) == 20
