"""What is known of somebody before their first like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import training_tables
from conftest import make_settings
from training.test_ensemble import ensemble_of
from two_tower.database.warehouse import open_warehouse
from two_tower.model.linear_map import Floats, LinearMap, design, on_the_sphere
from two_tower.training import prior
from two_tower.training.data.dataset import Data
from two_tower.training.ensemble import Choice, Ensemble
from two_tower.training.experts import regression
from two_tower.training.prior import Measure

GROUPS, VIDEOS = training_tables.GROUPS, training_tables.VIDEOS
FEATURE = 12
RARE = GROUPS  # a token that a single person has
Worlds = tuple[Ensemble, Ensemble]


def read(folder: Path, with_categories: bool) -> Data:
    """The small tables; people say which group they are of, one person something else too."""
    with open_warehouse(make_settings("duckdb", duckdb_path=folder / "w.duckdb")) as warehouse:
        training_tables.build(warehouse)
        if with_categories:
            warehouse.execute(
                "insert into two_tower.feature_layout values"
                f" ({FEATURE}, 'user', 'said', 'profile', 9, 'said', {GROUPS + 1}, 'planted')"
            )
            number = "cast(substr(user_id, 2) as integer)"
            group = f"{number} % {GROUPS}"
            said = f"case when {number} = 7 then [{group}, {RARE}] else [{group}] end"
            each = "[cast({} as {}) for _ in " + said + "]"
            warehouse.execute(
                "update two_tower.training_users set"
                f" feature_ids = feature_ids || {each.format(FEATURE, 'smallint')},"
                f' indices = indices || {said}, "values" = "values" || {each.format(1, "real")}'
            )
        return training_tables.read(warehouse, folder / "spool")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """The sum of the same experts, with categories and without."""
    made = [
        ensemble_of(read(tmp_path_factory.mktemp("prior"), there), epochs=2)
        for there in (True, False)
    ]
    return made[0], made[1]


def placed(ensemble: Ensemble) -> LinearMap:
    return on_the_sphere(ensemble.reduced(Choice()), ensemble.users, ensemble.known)


def said(data: Data) -> np.ndarray:
    (block,) = (block for block in data.layout.user if block.kind == "profile")
    return block.offset + np.arange(block.width)


def likes(data: Data) -> np.ndarray:
    """The likes that the model is fitted on, ``[users, videos]``, by hand."""
    part = data.read(data.fitted)
    found = np.zeros((len(part), len(data.items)))
    for row, video, liked, held in zip(part.rows, part.items, part.liked, part.held, strict=True):
        found[row, video] = liked and not held
    return found


def test_a_prior_has_rows_of_categories_and_of_everybody_alone(worlds: Worlds) -> None:
    for ensemble in worlds:
        there = placed(ensemble)
        found = prior.fit(ensemble.config, ensemble.data, there)
        assert found.shape == there.user.shape
        assert np.linalg.norm(found[-1]) == pytest.approx(1)
        # In the last column no user has anything.
        assert not found[:, -1].any()
        rows = set(np.flatnonzero(found.any(axis=1)))
        own = set(said(ensemble.data)) if ensemble is worlds[0] else set()
        assert rows == {*own, len(found) - 1}


def test_it_is_the_ridge_within_the_span_of_the_vectors(worlds: Worlds) -> None:
    """In plain algebra, of the likes as a matrix; a fold that is withheld is not read."""
    for view in (worlds[0].data, worlds[0].data.without_fold(0)):
        there = placed(worlds[0])
        vectors = there.item[view.known][:, :-1]
        wanted = likes(view)[:, view.known]
        part = view.read(view.fitted)
        profiles = design(view.layout, part.slots).toarray()[:, said(view)]
        mean = wanted.mean(axis=0)
        gram = profiles.T @ profiles + prior.PENALTY * np.eye(profiles.shape[1])
        scores = np.linalg.solve(gram, profiles.T @ (wanted - mean))
        square = vectors.T @ vectors
        square += prior.SHRINKAGE * np.trace(square) / len(square) * np.eye(len(square))
        expected = np.linalg.solve(square, vectors.T @ np.vstack([mean, scores]).T).T
        found = prior.fit(worlds[0].config, view, there)
        length = np.linalg.norm(expected[0])
        np.testing.assert_allclose(found[-1, :-1], expected[0] / length, atol=1e-6)
        np.testing.assert_allclose(found[said(view), :-1], expected[1:] / length, atol=1e-6)


def test_a_first_visit_has_the_videos_of_its_segment(worlds: Worlds) -> None:
    ensemble = worlds[0]
    there = placed(ensemble)
    found = prior.fit(ensemble.config, ensemble.data, there)
    tried = prior.added(there, found, ensemble.users, 0.1)
    known = np.flatnonzero(ensemble.known)
    scores = (there.user[-1] + found[-1] + found[said(ensemble.data)]) @ there.item[known].T
    for group in range(GROUPS):
        first = known[np.argsort(-scores[group])[:10]]
        assert set(first % GROUPS) == {group}
    # What a single person likes counts little.
    lengths = np.linalg.norm(found[said(ensemble.data)], axis=1)
    assert lengths[RARE] < lengths[:GROUPS].min() / 2
    assert tried.item is there.item


def test_novelty_lowers_what_everybody_likes(worlds: Worlds) -> None:
    ensemble = worlds[0]
    there = placed(ensemble)
    counts = ensemble.data.like_counts[ensemble.known]
    liked = []
    for novelty in (0.0, 1.0):
        found = prior.fit(
            ensemble.config.model_copy(update={"novelty": novelty}), ensemble.data, there
        )
        scores = there.item[ensemble.known] @ found[-1]
        liked.append(counts[np.argsort(-scores)[:10]].mean())
    assert liked[1] < liked[0]


def test_its_size_is_a_share_of_users_mean_length_and_0_is_nothing(worlds: Worlds) -> None:
    ensemble = worlds[0]
    there = placed(ensemble)
    found = prior.fit(ensemble.config, ensemble.data, there)
    nothing = prior.added(there, found, ensemble.users, 0.0)
    np.testing.assert_array_equal(nothing.user, there.user)
    np.testing.assert_array_equal(ensemble.placed(Choice()).user[:, -there.rank :], there.user)
    tried = prior.added(there, found, ensemble.users, 0.25)
    mean = np.linalg.norm(ensemble.users @ there.user, axis=1).mean()
    assert np.linalg.norm(tried.user[-1] - there.user[-1]) == pytest.approx(mean / 4)
    with_it = ensemble.placed(Choice(prior=0.25))
    np.testing.assert_allclose(with_it.user[:, -there.rank :], tried.user)


def test_everybody_is_read_whatever_fits_at_a_time(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = worlds[0]
    there = placed(ensemble)
    whole = prior.fit(ensemble.config, ensemble.data, there)
    monkeypatch.setattr(regression, "CHUNK_REVIEWS", 100)
    np.testing.assert_allclose(prior.fit(ensemble.config, ensemble.data, there), whole, atol=1e-9)


def sizes(few: list[float], known: list[float]) -> float:
    """The size that is chosen where maps of these sizes have these metrics."""
    there = LinearMap(np.zeros((2, 2)), np.zeros((3, 2)))
    users = design_of_one()
    added = np.array([[0.0, 0.0], [1.0, 0.0]])

    def measure(tried: LinearMap, shown: int | None) -> float:
        place = prior.SIZES.index(min(prior.SIZES, key=lambda size: abs(size - tried.user[-1, 0])))
        return known[place] if shown is None else few[place] + 0.01 * shown

    return prior.choose(
        replace(there, user=there.user + np.array([[1.0, 0], [0, 0]])), added, users, measure, 0.01
    )


def design_of_one() -> sparse.csr_array:
    return sparse.csr_array(np.array([[1.0, 0.0]]))


def test_the_size_is_that_of_the_new_within_what_others_may_lose() -> None:
    assert prior.MOST_LOST <= 0.003  # people with many likes lose less than anybody can measure
    count = len(prior.SIZES)
    rising = [0.1 * place for place in range(count)]
    level = [0.5] * count
    assert sizes(rising, level) == prior.SIZES[-1]
    assert sizes(rising[::-1], level) == 0
    # From the fourth on others lose a bit more than they may.
    worse = [0.5] * 3 + [0.5 * (1 - 1.01 * prior.MOST_LOST)] * (count - 3)
    assert sizes(rising, worse) == prior.SIZES[2]
    bit = [0.5] * 3 + [0.5 * (1 - 0.99 * prior.MOST_LOST)] * (count - 3)
    assert sizes(rising, bit) == prior.SIZES[-1]
    # New people have to gain more than chance.
    assert sizes([0.5, *[0.505] * (count - 1)], level) == 0
    assert sizes([0.5, 0.5, 0.53, *[0.5] * (count - 3)], level) == prior.SIZES[2]
    # Who had nothing loses nothing, whatever comes between.
    assert sizes(rising, [0.0, 0.5, *[0.4] * (count - 2)]) == prior.SIZES[-1]
    assert sizes([float("nan")] * count, [float("nan")] * count) == 0


def test_a_search_chooses_a_size_by_which_the_new_gain(worlds: Worlds) -> None:
    """Of towers that know nobody's categories: with one like, or three, they help."""
    ensemble = worlds[0]
    view = ensemble.data.without_fold(0)
    parts = [(expert, ensemble.parts[expert.name]) for expert in ensemble.experts]
    search = Ensemble(ensemble.config, view, parts)
    asked: list[int | None] = []
    choose = prior.choose

    def seen(
        placed: LinearMap,
        found: Floats,
        users: sparse.csr_array,
        measure: Measure,
        least_gain: float,
    ) -> float:
        def noted(tried: LinearMap, few: int | None) -> float:
            asked.append(few)
            return measure(tried, few)

        assert measure(prior.added(placed, found, users, 0.0), 1) == measure(placed, 1)
        return choose(placed, found, users, noted, least_gain)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior, "choose", seen)
        chosen = search.choose_prior(Choice(), view.validation)
    assert chosen.prior in prior.SIZES
    assert replace(chosen, prior=0.0) == Choice()
    assert set(asked) == {None, *prior.FEW}
