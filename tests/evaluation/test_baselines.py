"""Popularity and item-kNN, against a plain implementation."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

import planted
from two_tower.core.settings import Settings
from two_tower.database.warehouse import open_warehouse
from two_tower.evaluation import baselines
from two_tower.evaluation.baselines import (
    ItemKNN,
    Popularity,
    SegmentPopularity,
    liked_items,
    read_likes,
    read_segments,
)
from two_tower.model import feature_rows
from two_tower.model.slots import Ragged

LIKES = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]], dtype=np.float32)


def rows(*lists: list[int]) -> Ragged:
    return Ragged.of(pa.array(lists, pa.list_(pa.int32())), np.int32)


def plain_similarity(likes: np.ndarray, left: int, right: int) -> float:
    both = float((likes[:, left] * likes[:, right]).sum())
    return both / math.sqrt(likes[:, left].sum() * likes[:, right].sum()) if both else 0.0


def test_popularity_orders_by_likes_then_by_number() -> None:
    popularity = Popularity(sparse.csr_matrix(LIKES))
    assert popularity.likes.tolist() == [3, 2, 2, 0]
    assert np.argsort(-popularity.scores).tolist() == [0, 1, 2, 3]
    assert len(set(popularity.scores.tolist())) == 4


def test_item_knn_scores_are_sums_of_cosines() -> None:
    likes = sparse.csr_matrix(LIKES)
    knn = ItemKNN(likes, Popularity(likes))
    scores = knn.scores(rows([0, 2], [3], []))
    for item in range(4):
        expected = sum(plain_similarity(LIKES, item, liked) for liked in (0, 2) if liked != item)
        assert scores[0, item] == pytest.approx(expected, abs=2e-6)
    # Nobody liked the fourth video, and the last user liked nothing: they get what is popular.
    assert np.argsort(-scores[1]).tolist() == [0, 1, 2, 3]
    assert np.argsort(-scores[2]).tolist() == [0, 1, 2, 3]


def test_item_knn_in_blocks_keeps_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", 5)
    rng = np.random.default_rng(3)
    dense = (rng.random((60, 23)) < 0.3).astype(np.float32)
    likes = sparse.csr_matrix(dense)
    whole = ItemKNN(likes, Popularity(likes)).neighbours.toarray()
    monkeypatch.setattr(baselines, "BLOCK_CELLS", 23 * 4)
    blocks = ItemKNN(likes, Popularity(likes)).neighbours.toarray()
    assert np.array_equal(whole, blocks)
    for item in range(23):
        plain = [plain_similarity(dense, item, other) * (other != item) for other in range(23)]
        expected = sorted((value for value in plain if value > 0), reverse=True)[:5]
        found = np.sort(whole[:, item][whole[:, item] > 0])[::-1]
        assert found == pytest.approx(expected, abs=1e-6)


def test_liked_items_leave_out_what_was_not_liked() -> None:
    batch = pa.record_batch(
        {
            "item_numbers": pa.array([[4, 5, 6], None, [7], []], pa.list_(pa.int32())),
            "labels": pa.array([[1, 0, 1], None, [0], []], pa.list_(pa.int16())),
        }
    )
    liked = liked_items(batch)
    assert liked.values.tolist() == [4, 6]
    assert liked.offsets.tolist() == [0, 2, 2, 2, 2]


def test_ragged_reads_slices_and_chunks() -> None:
    column = pa.array([[1, 2], [3], None, [4, 5]], pa.list_(pa.int16()))
    part = Ragged.of(column.slice(1), np.int64)
    assert part.values.tolist() == [3, 4, 5]
    assert part.offsets.tolist() == [0, 1, 1, 3]
    assert part.rows.tolist() == [0, 2, 2]
    chunked = Ragged.of(pa.chunked_array([column, column]), np.int64)
    assert chunked.values.tolist() == [1, 2, 3, 4, 5] * 2


def test_a_segment_has_the_mean_share_of_its_people() -> None:
    """Four people: two of each segment, one of them of both, and one of none."""
    likes = sparse.csr_matrix(LIKES)
    segments = sparse.csr_matrix(
        np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float64)
    )
    popularity = Popularity(likes)
    model = SegmentPopularity(likes, segments, popularity)
    first, second = np.array([1, 1, 0.5, 0]), np.array([1, 0.5, 0.5, 0])
    scores = model.scores(segments)
    assert scores.dtype == np.float32
    for row, expected in enumerate((first, (first + second) / 2, second)):
        np.testing.assert_allclose(scores[row], expected, atol=2e-6)
    # Ties by popularity, which is also all there is of others and of a segment without people.
    assert np.argsort(-scores[2]).tolist() == [0, 1, 2, 3]
    nobody = sparse.csr_matrix(np.array([[0, 0, 1.0]]))
    for others in (segments[3], nobody):
        assert np.argsort(-model.scores(others)[0]).tolist() == [0, 1, 2, 3]
        assert len(set(model.scores(others)[0].tolist())) == 4


def test_likes_and_categories_are_of_the_same_people(
    either_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (6, "user", "said", "profile", 3, "said", planted.GROUPS)
    monkeypatch.setattr(planted, "LAYOUT", [*planted.LAYOUT, said])
    planted.build(either_settings)
    with open_warehouse(either_settings) as warehouse:
        layout = feature_rows.read_layout(warehouse)
        likes, segments = read_segments(warehouse, layout, planted.VIDEOS)
        assert (likes != read_likes(warehouse, planted.VIDEOS)).nnz == 0
        assert segments.shape == (planted.USERS, layout.feature_dim("user"))
        assert segments.nnz == 0
        for user in range(0, planted.USERS, 2):
            warehouse.execute(
                "update two_tower.training_users set feature_ids = array_append(feature_ids,"
                f" 6::smallint), indices = array_append(indices, {planted.group(user)}),"
                ' "values" = array_append("values", 1::real) where user_id = ?',
                (planted.user_id(user),),
            )
        likes, segments = read_segments(warehouse, layout, planted.VIDEOS)
        (block,) = (block for block in layout.user if block.kind == "profile")
    assert sorted(segments.sum(axis=1).ravel().tolist()[0]) == [0] * 30 + [1] * 30
    for row in np.flatnonzero(np.asarray(segments.sum(axis=1)).ravel()):
        (column,) = segments[row].indices - block.offset
        liked = likes[row].indices
        # Each likes the videos of the group that they say.
        assert {int(video) % planted.GROUPS for video in liked} == {column}
