"""The tally over batches and slices, against one user at a time in plain Python."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from two_tower.ragged import Ragged
from two_tower.ranking import SLICES, Catalogue, HeldOut, Tally

USERS, ITEMS = 60, 250


def lists(rows: list[list[int]]) -> Ragged:
    return Ragged.of(pa.array(rows, pa.list_(pa.int32())), np.int64)


class World:
    """Random users, videos and scores."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.scores = rng.random((USERS, ITEMS)).astype(np.float32)
        names = np.array(["head_items", "tail_items", "cold_items"])
        self.catalogue = Catalogue(
            rng.choice(names, ITEMS), rng.integers(1, 100, ITEMS).astype(float)
        )
        self.user_slices = rng.choice(np.array(["new_users", "light_users"]), USERS)
        drawn = [rng.permutation(ITEMS) for _ in range(USERS)]
        self.seen = [list(row[: rng.integers(0, 30)]) for row in drawn]
        self.targets = [list(row[40 : 41 + rng.integers(0, 9)]) for row in drawn]

    def users(self, rows: slice) -> HeldOut:
        return HeldOut(self.user_slices[rows], lists(self.seen[rows]), lists(self.targets[rows]))

    def ranked(self, user: int) -> list[int]:
        order = np.argsort(-self.scores[user])
        return [int(item) for item in order if item not in self.seen[user]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def results(world: World) -> tuple[dict, dict]:
    tally = Tally(world.catalogue)
    for start in range(0, USERS, 7):
        rows = slice(start, start + 7)
        tally.add(world.users(rows), torch.from_numpy(world.scores[rows].copy()))
    return tally.results()


def plain(world: World, name: str) -> dict[str, float]:
    """The accuracy of one slice, one user at a time."""
    rows = []
    for user in range(USERS):
        targets = set(world.targets[user])
        if name.endswith("_items"):
            targets = {item for item in targets if world.catalogue.item_slices[item] == name}
        elif name.endswith("_users") and world.user_slices[user] != name:
            continue
        if not targets:
            continue
        ranked = world.ranked(user)
        places = [place for place, item in enumerate(ranked, 1) if item in targets]
        row = {"mrr": 1 / places[0]}
        for k in (20, 50):
            row[f"recall@{k}"] = sum(p <= k for p in places) / min(k, len(targets))
        for k in (10, 100):
            ideal = sum(1 / math.log2(p + 1) for p in range(1, min(k, len(targets)) + 1))
            row[f"ndcg@{k}"] = sum(1 / math.log2(p + 1) for p in places if p <= k) / ideal
        rows.append(row)
    return {metric: float(np.mean([row[metric] for row in rows])) for metric in rows[0]}


@pytest.mark.parametrize("name", [name for name in SLICES if name != "heavy_users"])
def test_slices_equal_a_plain_implementation(
    world: World, results: tuple[dict, dict], name: str
) -> None:
    found = results[0][name]
    for metric, value in plain(world, name).items():
        assert found[metric] == pytest.approx(value), metric


def test_a_slice_without_users_is_left_out(results: tuple[dict, dict]) -> None:
    assert "heavy_users" not in results[0]
    assert results[1]["overall"] == USERS
    assert results[1]["new_users"] + results[1]["light_users"] == USERS


def test_coverage_counts_what_somebody_is_shown(world: World, results: tuple[dict, dict]) -> None:
    shown: dict[str, set[int]] = {"overall": set(), "new_users": set(), "light_users": set()}
    for user in range(USERS):
        for name in ("overall", str(world.user_slices[user])):
            shown[name].update(world.ranked(user)[:20])
    for name, items in shown.items():
        assert results[0][name]["coverage"] == len(items) / ITEMS
    cold = [item for item in range(ITEMS) if world.catalogue.item_slices[item] == "cold_items"]
    share = len(shown["overall"] & set(cold)) / len(cold)
    assert results[0]["cold_items"]["coverage"] == share


def test_popularity_lift_compares_shown_with_consumed(
    world: World, results: tuple[dict, dict]
) -> None:
    popularity = world.catalogue.popularity
    known = [user for user in range(USERS) if world.seen[user]]
    shown = np.mean([popularity[world.ranked(user)[:20]].mean() for user in known])
    consumed = np.mean([popularity[world.seen[user]].mean() for user in known])
    lift = results[0]["overall"]["popularity_lift"]
    assert lift == pytest.approx((shown - consumed) / consumed)


def test_seen_videos_are_never_shown_even_in_a_tiny_catalogue() -> None:
    catalogue = Catalogue(np.array(["head_items"] * 4), np.array([9.0, 1.0, 1.0, 1.0]))
    tally = Tally(catalogue)
    users = HeldOut(np.array(["new_users"]), lists([[0, 1]]), lists([[3]]))
    tally.add(users, torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    found = tally.results()[0]["overall"]
    assert found["coverage"] == 0.5
    assert found["mrr"] == 0.5
    assert found["popularity_lift"] == pytest.approx(1 / 5 - 1)
