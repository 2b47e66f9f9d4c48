from dataclasses import replace

import duckdb
import numpy as np
import pytest

import training_tables
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.training.data.batches import draw, hide, take_items

SOME = TrainConfig(hidden_share=(0.1, 0.6), profile_dropout=0.0)
ALL = TrainConfig(hidden_share=(1.0, 1.0), profile_dropout=0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    warehouse = DuckDBWarehouse(duckdb.connect())
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, folder)
    return data, data.read(np.arange(training_tables.USERS))


def held(users):
    """Return these users with fold 0 held, as a view of the data has them."""
    return replace(users, held=users.folds == 0)


def histories(layout, slots):
    """Return the history blocks of dense rows, ``[blocks, users, videos]``."""
    dense = layout.densify("user", slots)
    blocks = [block for block in layout.user if block.kind == "history"]
    return np.stack([dense[:, b.offset : b.offset + b.width] for b in blocks])


def test_a_target_is_in_no_history_of_the_input(world):
    data, users = world
    before = histories(data.layout, users.slots)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        batch = draw(data, held(users), users.relevances, SOME, rng)
        seen = histories(data.layout, batch.slots)
        known = data.items.identity[batch.items] >= 0
        rows, index = batch.rows[known], data.items.identity[batch.items[known]]
        assert before[1, rows, index].all()  # among the reviews, it was there …
        assert not seen[:, rows, index].any()  # … and is not any more
        assert seen.any()


def test_a_video_without_an_index_can_be_a_target(world):
    data, users = world
    batch = draw(data, users, users.relevances, ALL, np.random.default_rng(0))
    assert (data.items.identity[batch.items] < 0).any()
    assert not histories(data.layout, batch.slots).any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_every_user_has_a_target_and_what_has_no_weight_is_none(world, share):
    data, users = world
    weights = users.weights * users.liked
    config = TrainConfig(hidden_share=(share, share), profile_dropout=0.0)
    batch = draw(data, users, weights, config, np.random.default_rng(0))
    counts = np.bincount(users.rows, users.liked)
    assert np.array_equal(np.bincount(batch.rows), counts if share else np.ones(len(users)))
    likes = set(zip(users.rows[users.liked], users.items[users.liked], strict=True))
    assert set(zip(batch.rows, batch.items, strict=True)) <= likes


def test_a_hidden_review_counts_as_much_as_it_is_relevant(world):
    data, users = world
    rng = np.random.default_rng(0)
    batch = draw(data, users, users.relevances, ALL, rng)
    assert np.array_equal(batch.items, users.items)
    expected = np.where(users.liked, training_tables.LIKE**2, training_tables.DISLIKE**2)
    assert batch.weights.tolist() == expected.tolist()


def test_held_reviews_are_neither_seen_nor_targets(world):
    data, users = world
    withheld = held(users).held
    batch = draw(data, held(users), users.relevances, SOME, np.random.default_rng(0))
    kept = set(zip(users.rows[withheld], users.items[withheld], strict=True))
    targets = set(zip(batch.rows, batch.items, strict=True))
    shown = set(zip(batch.shown_rows, batch.shown_items, strict=True))
    reviews = set(zip(users.rows, users.items, strict=True))
    # What is withheld is ranked as what was never reviewed: else its likes were given away.
    assert not kept & targets
    assert shown == reviews - targets - kept
    index = data.items.identity[users.items]
    gone = withheld & (index >= 0)
    assert not histories(data.layout, batch.slots)[:, users.rows[gone], index[gone]].any()


def test_hiding_touches_nothing_but_histories(world):
    data, users = world
    everything = np.ones(len(users.items), dtype=bool)
    dense = data.layout.densify("user", hide(data, users, everything))
    assert np.array_equal(dense[:, :4], data.layout.densify("user", users.slots)[:, :4])
    assert not dense[:, 4:].any()


def test_a_share_of_the_videos_loses_its_identity_and_nothing_else(world):
    items, layout = world[0].items, world[0].layout
    numbers = np.tile(np.arange(len(items)), 20)
    dense = layout.densify("item", take_items(items, numbers, 0.3, np.random.default_rng(0)))
    content, own = dense[:, : training_tables.GROUPS], dense[:, training_tables.GROUPS :]
    assert (content.sum(1) == 1).all()
    share = 1 - own.sum() / (20 * training_tables.WITH_ID)
    assert 0.25 < share < 0.35
    assert items.slots.values.all()  # the catalogue itself is left alone


def test_a_hidden_profile_leaves_the_histories_alone(world):
    data, users = world
    shown, hidden = (
        draw(data, users, users.relevances, config, np.random.default_rng(1))
        for config in (
            TrainConfig(hidden_share=(0.3, 0.3), profile_dropout=profile) for profile in (0.0, 0.99)
        )
    )
    assert (histories(data.layout, hidden.slots) == histories(data.layout, shown.slots)).all()
    rest = np.ones(data.layout.feature_dim("user"), dtype=bool)
    for block in data.layout.user:
        rest[block.offset : block.offset + block.width] = block.kind != "history"
    is_shown = data.layout.densify("user", shown.slots)[:, rest].any(axis=1)
    is_hidden = ~data.layout.densify("user", hidden.slots)[:, rest].any(axis=1)
    assert is_shown.sum() > 10
    assert (is_shown & is_hidden).sum() > 0.9 * is_shown.sum()
