"""Vectors of a team's own as features: trained on at their leading axes, taken whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from two_tower.model.layout import Layout
from two_tower.model.slots import Slots
from two_tower.model.towers import Towers
from two_tower.training import reduction
from two_tower.training.data.dataset import Data, Items

WIDTH, VIDEOS = 90, 200


def row(feature_id: int, tower: str, kind: str, width: int, vocabulary: str | None = None) -> dict:
    name = f"f{feature_id}"
    return {
        **{"feature_id": feature_id, "tower": tower, "feature": name, "kind": kind},
        **{"width": width, "vocabulary": vocabulary, "position": feature_id},
    }


def data_of(vectors: np.ndarray) -> Data:
    """Videos with an id, a vector before it and a maker behind it; users are of no matter."""
    rows = [
        row(1, "user", "history", 5, "video"),
        row(101, "item", "dense", vectors.shape[1]),
        row(102, "item", "identity", VIDEOS, "video"),
        row(103, "item", "one_hot", 2, "maker"),
    ]
    layout = Layout.from_rows(rows, "hash", 1)
    width = vectors.shape[1]
    positions, values, lengths = [], [], []
    for video, vector in enumerate(vectors):
        own = np.flatnonzero(vector)
        positions += [*own, width + video, width + VIDEOS + video % 2]
        values += [*vector[own], 1, 1]
        lengths.append(len(own) + 2)
    slots = Slots(
        np.array(positions, np.int64),
        np.array(values, np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    is_identity = np.zeros(layout.feature_dim("item"), np.bool_)
    is_identity[width : width + VIDEOS] = True
    none = np.zeros(0, np.int64)
    return Data(
        layout=layout,
        users=None,  # type: ignore[arg-type]
        items=Items(slots, np.arange(VIDEOS), is_identity),
        like_counts=none,
        review_counts=none,
        likers=none,
        search_likers=none,
        validation=none,
        reviews=0,
        asks_next=False,
    )


@pytest.fixture
def vectors() -> np.ndarray:
    """Vectors of length 1 within 20 dimensions; every tenth video has none."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(VIDEOS, 20)) @ rng.normal(size=(20, WIDTH))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[::10] = 0
    return found


def test_towers_of_the_axes_are_towers_of_the_vectors(vectors: np.ndarray) -> None:
    data = data_of(vectors)
    reduced = reduction.reduce(data)
    layout, items = reduced.data.layout, reduced.data.items
    assert layout.feature_dim("item") == reduction.AXES + VIDEOS + 2
    assert [block.feature_id for block in layout.item] == [101, 102, 103]
    assert np.flatnonzero(items.is_identity).tolist() == list(
        range(reduction.AXES, reduction.AXES + VIDEOS)
    )
    trained = Towers(layout, 8, seed=3)
    restored = reduced.restored(trained)
    assert restored.layout == data.layout
    with torch.no_grad():
        before = trained.forward_sparse("item", items.slots)
        after = restored.forward_sparse("item", data.items.slots)
    assert torch.allclose(before, after, atol=1e-5)
    assert torch.equal(trained.towers["user"].weight, restored.towers["user"].weight)
    # The videos' vectors are told apart by their own numbers, not by their ids alone.
    with torch.no_grad():
        restored.towers["item"].weight[WIDTH:] = 0
        alone = restored.forward_sparse("item", data.items.slots)
    assert (alone[1] - alone[2]).norm() > 0.1
    assert torch.allclose(alone[0], alone[10])  # both have none


def test_the_axes_are_those_of_the_largest_sum_of_squares(vectors: np.ndarray) -> None:
    axes = reduction.reduce(data_of(vectors)).axes[101]
    assert axes.shape == (WIDTH, reduction.AXES)
    assert np.allclose(axes.T @ axes, np.eye(reduction.AXES), atol=1e-8)
    assert np.allclose(vectors @ axes @ axes.T, vectors, atol=1e-6)
    lengths = np.linalg.norm(vectors @ axes, axis=0)
    assert (np.diff(lengths) < 1e-6).all()


def test_narrow_vectors_are_left_alone() -> None:
    data = data_of(np.ones((VIDEOS, reduction.AXES)))
    reduced = reduction.reduce(data)
    assert reduced.data is data
    towers = Towers(data.layout, 8)
    assert reduced.restored(towers) is towers


def test_many_videos_are_projected_a_part_at_a_time(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reduction.reduce(data_of(vectors)).data.items.slots
    monkeypatch.setattr(reduction, "ROWS", 7)
    parts = reduction.reduce(data_of(vectors)).data.items.slots
    assert np.array_equal(whole.offsets, parts.offsets)
    assert np.allclose(np.abs(whole.values), np.abs(parts.values), atol=1e-4)
