"""The tally over batches and slices, against one user at a time in plain Python."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from two_tower.evaluation.ranking import SLICES, Catalogue, HeldOut, Results, Tally
from two_tower.model.slots import Ragged

USERS, ITEMS, TOKENS = 60, 250, 9


def lists(rows: list[list[int]]) -> Ragged:
    return Ragged.of(pa.array(rows, pa.list_(pa.int32())), np.int64)


def catalogue(
    item_slices: np.ndarray, popularity: np.ndarray, tokens: np.ndarray | None = None
) -> Catalogue:
    found = np.zeros((len(popularity), 1)) if tokens is None else tokens
    counts = np.maximum(found.sum(axis=1), 1)[:, None]
    return Catalogue(
        item_slices=item_slices,
        popularity=popularity,
        users=200,
        is_held_out=item_slices == "cold_items",
        content=sparse.csr_matrix(found / np.sqrt(counts)),
        tastes=sparse.csr_matrix(found / counts),
    )


class World:
    """Random users, videos and scores."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.scores = rng.random((USERS, ITEMS)).astype(np.float32)
        names = np.array(["head_items", "tail_items", "cold_items"])
        self.tokens = (rng.random((ITEMS, TOKENS)) < 0.4).astype(float)
        self.catalogue = catalogue(
            rng.choice(names, ITEMS), rng.integers(1, 100, ITEMS).astype(float), self.tokens
        )
        self.user_slices = rng.choice(np.array(["new_users", "light_users"]), USERS)
        drawn = [rng.permutation(ITEMS) for _ in range(USERS)]
        self.seen = [list(row[: rng.integers(0, 30)]) for row in drawn]
        self.targets = [list(row[40 : 41 + rng.integers(0, 9)]) for row in drawn]
        self.liked = [row[::2] for row in self.seen]

    def users(self, rows: slice) -> HeldOut:
        ids = np.array([f"u{user}" for user in range(USERS)[rows]])
        parts = (lists(part[rows]) for part in (self.seen, self.targets, self.liked))
        return HeldOut(ids, self.user_slices[rows], *parts)

    def ranked(self, user: int) -> list[int]:
        order = np.argsort(-self.scores[user])
        return [int(item) for item in order if item not in self.seen[user]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def results(world: World) -> Results:
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
def test_slices_equal_a_plain_implementation(world: World, results: Results, name: str) -> None:
    found = results.values[name]
    for metric, value in plain(world, name).items():
        assert found[metric] == pytest.approx(value), metric


def test_a_slice_without_users_is_left_out(results: Results) -> None:
    assert "heavy_users" not in results.values
    assert results.users["overall"] == USERS
    assert results.users["new_users"] + results.users["light_users"] == USERS


def test_coverage_counts_what_somebody_is_shown(world: World, results: Results) -> None:
    shown: dict[str, set[int]] = {"overall": set(), "new_users": set(), "light_users": set()}
    for user in range(USERS):
        for name in ("overall", str(world.user_slices[user])):
            shown[name].update(world.ranked(user)[:20])
    for name, items in shown.items():
        assert results.values[name]["coverage"] == len(items) / ITEMS
    cold = [item for item in range(ITEMS) if world.catalogue.item_slices[item] == "cold_items"]
    share = len(shown["overall"] & set(cold)) / len(cold)
    assert results.values["cold_items"]["coverage"] == share


def test_popularity_lift_compares_shown_with_consumed(world: World, results: Results) -> None:
    popularity = world.catalogue.popularity
    known = [user for user in range(USERS) if world.seen[user]]
    shown = np.mean([popularity[world.ranked(user)[:20]].mean() for user in known])
    consumed = np.mean([popularity[world.seen[user]].mean() for user in known])
    lift = results.values["overall"]["popularity_lift"]
    assert lift == pytest.approx((shown - consumed) / consumed)


def test_seen_videos_are_never_shown_even_in_a_tiny_catalogue() -> None:
    tally = Tally(catalogue(np.array(["head_items"] * 4), np.array([9.0, 1.0, 1.0, 1.0])))
    one = (np.array(["u"]), np.array(["new_users"]))
    users = HeldOut(*one, lists([[0, 1]]), lists([[3]]), lists([[]]))
    tally.add(users, torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    found = tally.results().values["overall"]
    assert found["coverage"] == 0.5
    assert found["mrr"] == 0.5
    assert found["popularity_lift"] == pytest.approx(1 / 5 - 1)
    assert found["diversity"] == 1.0
    assert found["calibration"] is None


def test_metrics_of_a_list_are_means_over_users(world: World, results: Results) -> None:
    novelty, diversity, calibration = [], [], []
    for user in range(USERS):
        shown = world.ranked(user)[:20]
        popularity = world.catalogue.popularity[shown]
        novelty.append(np.mean([-math.log2(count / 200) for count in popularity]))
        tokens = world.tokens[shown]
        norms = np.maximum(np.linalg.norm(tokens, axis=1), 1)
        cosines = (tokens @ tokens.T) / np.outer(norms, norms)
        diversity.append(1 - np.mean(cosines[np.triu_indices(20, 1)]))
        p, q = (
            world.catalogue.tastes.toarray()[videos].sum(axis=0)
            for videos in (world.liked[user], shown)
        )
        if p.sum():
            p, q = p / p.sum(), q / q.sum()
            inside = p > 0
            mixed = 0.99 * q + 0.01 * p
            calibration.append(np.sum(p[inside] * np.log(p[inside] / mixed[inside])))
    found = results.values["overall"]
    assert found["novelty"] == pytest.approx(np.mean(novelty))
    assert found["diversity"] == pytest.approx(np.mean(diversity))
    assert found["calibration"] == pytest.approx(np.mean(calibration))


def test_gini_counts_the_places_in_all_lists(world: World, results: Results) -> None:
    exposures = np.zeros(ITEMS, dtype=int)
    for user in range(USERS):
        exposures[world.ranked(user)[:20]] += 1
    pairs = np.abs(exposures[:, None] - exposures[None, :]).sum() / 2
    expected = pairs / ((ITEMS - 1) * exposures.sum())
    assert results.values["overall"]["gini"] == pytest.approx(expected)


def test_figures_a_user_have_an_interval_around_them(results: Results) -> None:
    for name, metrics in results.values.items():
        for metric, value in metrics.items():
            if metric in ("coverage", "gini"):
                assert metric not in results.intervals[name]
            else:
                lower, upper = results.intervals[name][metric]
                assert lower <= value <= upper
    lower, upper = results.intervals["overall"]["ndcg@10"]
    assert lower < upper


def test_only_candidates_are_ranked_and_counted(world: World) -> None:
    inside = world.catalogue.is_held_out
    tally = Tally(world.catalogue, inside)
    tally.add(world.users(slice(0, USERS)), torch.from_numpy(world.scores.copy()))
    found = tally.results()
    shown, recalls = set(), []
    for user in range(USERS):
        ranked = [item for item in world.ranked(user) if inside[item]]
        targets = set(world.targets[user])
        shown.update(ranked[:20])
        recalls.append(len(targets & set(ranked[:20])) / min(20, len(targets)))
    assert found.values["overall"]["recall@20"] == pytest.approx(np.mean(recalls))
    assert found.values["overall"]["coverage"] == len(shown) / inside.sum()


def test_the_order_of_the_users_changes_nothing(world: World, results: Results) -> None:
    tally = Tally(world.catalogue)
    for rows in (slice(30, 60), slice(0, 30)):
        tally.add(world.users(rows), torch.from_numpy(world.scores[rows].copy()))
    found = tally.results()
    for name, metrics in results.intervals.items():
        for metric, bounds in metrics.items():
            assert found.intervals[name][metric] == pytest.approx(bounds), (name, metric)
