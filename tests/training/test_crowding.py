"""Crowded vectors are spread, and no others are touched."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import sparse

import training_tables
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.model.linear_map import LinearMap
from two_tower.training import crowding
from two_tower.training.crowding import MOST, mean_cosine, measured, uncrowded
from two_tower.training.train import train

RNG = np.random.default_rng(0)
USERS = sparse.csr_array(np.hstack([RNG.random((200, 30)) < 0.2, np.ones((200, 1))]))
KNOWN = np.arange(400) < 380


def placed(length: float, bias: float) -> LinearMap:
    """A map of videos on the sphere, the first as long as can be and the others so long."""
    turned = RNG.normal(size=(400, 7))
    turned *= length / np.linalg.norm(turned, axis=1, keepdims=True)
    turned[0] *= 1 / length
    last = np.sqrt(np.maximum(1 - (turned**2).sum(axis=1), 0))[:, None]
    user = np.hstack([RNG.normal(size=(31, 7)), np.zeros((31, 1))])
    user[-1, :7] += bias
    return LinearMap(user, np.hstack([turned, last]) * KNOWN[:, None])


def test_of_what_is_not_crowded_nothing_changes() -> None:
    found = placed(0.8, 0.0)
    assert max(measured(found, USERS, KNOWN).values()) < MOST
    assert uncrowded(found, USERS, KNOWN) is found


def test_crowded_videos_are_spread_as_far_as_is_asked_and_ranked_as_before() -> None:
    found = placed(0.2, 0.0)
    assert measured(found, USERS, KNOWN)["videos"] > 0.9
    spread = uncrowded(found, USERS, KNOWN)
    assert measured(spread, USERS, KNOWN)["videos"] == pytest.approx(MOST, abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(spread.item[KNOWN], axis=1), 1)
    assert not spread.item[~KNOWN].any()
    assert spread.user is found.user
    # The others are as long as each other, so that their order for a user stays.
    before, after = (USERS @ each.user @ each.item[1:380].T for each in (found, spread))
    np.testing.assert_array_equal(np.argsort(before), np.argsort(after))


def test_from_crowded_users_a_part_of_their_mean_is_taken() -> None:
    found = placed(0.8, 9.0)
    assert measured(found, USERS, KNOWN)["users"] > 0.9
    spread = uncrowded(found, USERS, KNOWN)
    assert measured(spread, USERS, KNOWN)["users"] == pytest.approx(MOST, abs=1e-4)
    assert spread.item is found.item
    np.testing.assert_array_equal(spread.user[:-1], found.user[:-1])
    assert not spread.user[:, -1].any()  # where videos have what they lack in length


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    vectors = RNG.normal(size=(50, 4)) + 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert mean_cosine(vectors) == pytest.approx(float((unit @ unit.T).mean()))


def test_training_says_what_was_crowded(
    duckdb_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
    monkeypatch.setattr(logging.getLogger("two_tower"), "propagate", True)
    config = TrainConfig(epochs=1, batch_size=32)
    calm = train(duckdb_settings, config)
    assert set(calm.crowding) == {"users", "videos"}
    assert not caplog.records

    monkeypatch.setattr(crowding, "MOST", 0.05)
    crowded = train(duckdb_settings, config)
    assert crowded.crowding == calm.crowding  # as it was found
    assert "crowded (mean cosine of" in caplog.text
    assert "TWO_TOWER_TRAIN__STEPS" in caplog.text
