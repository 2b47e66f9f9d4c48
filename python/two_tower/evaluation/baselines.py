"""The baselines of the towers, on the same training likes: popularity, by segment, item-kNN."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from two_tower.database.warehouse import Warehouse
from two_tower.model import feature_rows
from two_tower.model.layout import Layout
from two_tower.model.slots import Ragged, Slots, one_hot

NEIGHBOURS = 100
# Similarities computed at once: 128 MB of float32.
BLOCK_CELLS = 32_000_000


def read_likes(warehouse: Warehouse, items: int) -> sparse.csr_matrix:
    """Return the training likes as a user-item matrix: float32 ones, ``[users, items]``."""
    reader = warehouse.read_arrow(
        f"select t.item_numbers, t.labels from {warehouse.schema}.training_users t"
    )
    parts = [liked_items(batch) for batch in reader]
    values = np.concatenate([part.values for part in parts] or [np.zeros(0, np.int32)])
    lengths = np.concatenate([part.lengths for part in parts] or [np.zeros(0, np.int64)])
    return one_hot(Ragged(values, np.concatenate([[0], np.cumsum(lengths)])), items)


def liked_items(batch: pa.RecordBatch) -> Ragged:
    """Return the item numbers labelled 1 of rows with ``item_numbers`` and ``labels``, int32."""
    numbers = Ragged.of(batch["item_numbers"], np.int32)
    liked = Ragged.of(batch["labels"], np.int64).values == 1
    before = np.concatenate([[0], np.cumsum(liked)])
    return Ragged(numbers.values[liked], before[numbers.offsets])


class Popularity:
    """Ranks videos by their training likes, the same for every user.

    Attributes:
        likes: training likes of each video, int64 ``[items]``.
        scores: float32 ``[items]`` in [0, 1), all different: ties go by item number.
    """

    def __init__(self, likes: sparse.csr_matrix) -> None:
        self.likes: NDArray[np.int64] = np.bincount(likes.indices, minlength=likes.shape[1])
        order = np.argsort(-self.likes, kind="stable")
        count = len(order)
        self.scores = np.empty(count, dtype=np.float32)
        self.scores[order] = np.arange(count - 1, -1, -1, dtype=np.float32) / max(count, 1)


def read_segments(
    warehouse: Warehouse, layout: Layout, items: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the training likes as :func:`read_likes` does, and the same users' categories.

    Of one query: without an order, Postgres may give another one each time. Categories are ones,
    ``[users, user_feature_dim]``; rows are empty where none is known.
    """
    reader = warehouse.read_arrow(
        'select t.item_numbers, t.labels, t.feature_ids, t.indices, t."values"'
        f" from {warehouse.schema}.training_users t"
    )
    likes = [sparse.csr_matrix((0, items), dtype=np.float32)]
    segments = [sparse.csr_matrix((0, layout.feature_dim("user")))]
    for batch in reader:
        likes.append(one_hot(liked_items(batch), items))
        segments.append(segments_of(layout, feature_rows.slots(layout, "user", batch)))
    return sparse.vstack(likes, format="csr"), sparse.vstack(segments, format="csr")


def segments_of(layout: Layout, slots: Slots) -> sparse.csr_matrix:
    """Return the categories that users have, ones ``[users, user_feature_dim]``."""
    is_profile = np.repeat(
        [block.kind == "profile" for block in layout.user], [block.width for block in layout.user]
    )
    kept = is_profile[slots.positions]
    offsets = np.concatenate([[0], np.cumsum(kept)])[slots.offsets]
    shape = (len(slots), layout.feature_dim("user"))
    return sparse.csr_matrix((np.ones(int(kept.sum())), slots.positions[kept], offsets), shape)


class SegmentPopularity:
    """Ranks videos by how many of the people of a user's segments like them.

    A segment is everybody of one category; a video's score is the mean over the user's segments of
    the share of their people who like it. Popularity breaks ties, and is all that is known of
    others.
    """

    def __init__(
        self, likes: sparse.csr_matrix, segments: sparse.csr_matrix, popularity: Popularity
    ) -> None:
        people = np.maximum(np.asarray(segments.sum(axis=0)).ravel(), 1)
        self.shares = (sparse.diags(1 / people) @ (segments.T @ likes)).tocsr()
        self.tie_break = popularity.scores * np.float32(1e-6)

    def scores(self, segments: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return float32 ``[users, items]`` for rows of :func:`segments_of`."""
        count = np.maximum(np.asarray(segments.sum(axis=1)), 1)
        found = (segments @ self.shares).toarray() / count + self.tie_break
        return np.asarray(found, dtype=np.float32)


class ItemKNN:
    """Item-based k-nearest neighbours (Sarwar et al. 2001).

    Similarity is the cosine between the videos' columns of likes. A video's score is the sum over
    those of its own ``NEIGHBOURS`` nearest videos that the user liked; with the nearest of each
    liked video instead, it finds a fifth less on MovieLens-100k. Popularity breaks ties, so that a
    user without likes gets the popular videos.
    """

    def __init__(self, likes: sparse.csr_matrix, popularity: Popularity) -> None:
        self.tie_break = popularity.scores * np.float32(1e-6)
        norms = np.sqrt(np.maximum(popularity.likes, 1)).astype(np.float32)
        columns = (likes @ sparse.diags(1 / norms)).tocsc()
        self.neighbours = _nearest(columns.T.tocsr(), columns.tocsr()).T.tocsr()

    def scores(self, liked: Ragged) -> NDArray[np.float32]:
        """Return float32 ``[users, items]`` for rows of liked item numbers."""
        found = one_hot(liked, self.neighbours.shape[0]) @ self.neighbours
        scores: NDArray[np.float32] = found.toarray() + self.tie_break
        return scores


def _nearest(rows: sparse.csr_matrix, columns: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the largest ``NEIGHBOURS`` of each row of ``rows @ columns``, without the diagonal."""
    items = rows.shape[0]
    kept = min(NEIGHBOURS, items)
    step = max(1, BLOCK_CELLS // max(items, 1))
    blocks = []
    for start in range(0, items, step):
        similar = (rows[start : start + step] @ columns).toarray()
        here = np.arange(len(similar))
        similar[here, start + here] = 0
        nearest = np.argpartition(-similar, kept - 1, axis=1)[:, :kept]
        values = np.take_along_axis(similar, nearest, axis=1)
        offsets = np.arange(len(similar) + 1) * kept
        block = sparse.csr_matrix(
            (values.ravel(), nearest.ravel(), offsets), shape=(len(similar), items)
        )
        block.eliminate_zeros()
        blocks.append(block)
    return sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix((0, 0))
