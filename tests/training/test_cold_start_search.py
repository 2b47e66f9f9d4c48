from dataclasses import replace

import numpy as np
import pytest
from test_ensemble import data, ensemble_of  # noqa: F401  a fixture

from two_tower.core.train_config import TrainConfig
from two_tower.training.cold_start import read_content
from two_tower.training.cold_start_search import BOOSTS, PENALTIES, ColdStartTrial, _highest
from two_tower.training.ensemble import Choice

CHOICE = Choice({"towers": 0.5})


class Judge:
    """Prefers low boosts: lists lose a tenth of their quality for each unit that users gain."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, vectors, ranked) -> float:
        others = np.setdiff1d(np.flatnonzero(ranked), self.rows)
        return 1 - 0.1 * float(np.abs(vectors[others, :-1]).sum(axis=1).mean())


def trial_of(data, validate):  # noqa: F811
    ensemble = ensemble_of(data)
    return ColdStartTrial(
        ensemble.placed(CHOICE),
        read_content(data.layout, data.items),
        ensemble.known,
        ensemble.content_weights,
        validate,
        0,
    )


def test_new_videos_may_cost_what_their_budget_allows(data):  # noqa: F811
    chosen = [trial_of(data, Judge(np.arange(0))).choose(budget)[1] for budget in (0.0, 0.02, 0.9)]
    assert chosen == sorted(chosen)
    assert chosen[0] == min(BOOSTS), "any boost above costs something"
    assert chosen[-1] == max(BOOSTS)


def test_the_budget_is_read_under_its_former_name_too():
    """In a team's .env, and in the config.json of a run of before."""
    for config in (TrainConfig(freshness=0.01), TrainConfig().changed(freshness=0.01)):
        assert config.new_item_budget == 0.01
        assert "freshness" not in config.model_dump()
    assert TrainConfig.model_validate_json('{"freshness": 0.02}').new_item_budget == 0.02


@pytest.mark.parametrize("popular_group", [0, 2])
def test_unpopular_videos_that_nobody_has_reviewed_count_too(data, popular_group):  # noqa: F811
    """Unknown are most videos of group 2, which their tag says; the judge sees only what they cost.

    Where the known ones of their group are popular, they are taken for what a known tenth is.
    """
    group = np.arange(60) % 3
    is_unknown = (group == 2) & (np.arange(60) >= 20)
    judge = Judge(np.flatnonzero(~is_unknown))

    def validate(vectors, ranked) -> float:
        return judge(vectors, ranked) if ranked[is_unknown].any() else 1.0

    weights = np.where(group == popular_group, 9.0, 1.0)
    trial = replace(trial_of(data, validate), known=~is_unknown, weights=weights)
    expected = max(BOOSTS) if popular_group == 2 else min(BOOSTS)
    assert trial.choose(0.0)[1] == expected


def test_videos_that_content_says_nothing_of_are_as_others(data):  # noqa: F811
    """Videos 50 to 59 are of all groups, and every group is as popular as the others."""
    unknown = np.arange(50, 60)

    def validate(vectors, ranked) -> float:
        return Judge(np.arange(50))(vectors, ranked) if ranked[unknown].any() else 1.0

    weights = 1 + np.random.default_rng(0).random(60)
    trial = replace(trial_of(data, validate), weights=weights)
    assert trial.choose(0.01)[1] == max(BOOSTS)


def test_a_boost_is_read_off_between_those_tried():
    found = {0.7: 0.98, 1.0: 1.0, 1.2: 0.994, 1.4: 0.984}
    assert _highest(found, 0.99) == pytest.approx(1.28)
    assert _highest(found, 0.97) == 1.4
    assert _highest(found, 1.01) == 0.7
    assert _highest(found, 1.0) == 1.0


def test_the_penalty_is_the_one_that_ranks_placed_videos_best(data):  # noqa: F811
    seen = []

    def validate(vectors, ranked) -> float:
        seen.append(int(ranked.sum()))
        return float(len(seen) == 3)

    penalty, _ = trial_of(data, validate).choose(0.01)
    assert penalty == PENALTIES[2]
    assert max(seen[: len(PENALTIES)]) < 50, "ranked among themselves"


def test_the_trial_ranks_as_validation_does(data, monkeypatch):  # noqa: F811
    """Its users are encoded once: under all vectors their lists are those of the whole map."""
    found = []

    def choose(trial, _budget):
        found.append(trial.validate(trial.known_map.item, trial.known))
        found.append(trial.validate(trial.known_map.item[::-1], trial.known))
        return 1.0, 1.0

    monkeypatch.setattr(ColdStartTrial, "choose", choose)
    ensemble = ensemble_of(data)
    ensemble.choose_cold_start(CHOICE, data.validation)
    placed = ensemble.placed(CHOICE)
    for item, metric in zip((placed.item, placed.item[::-1]), found, strict=True):
        expected = ensemble._validate(replace(placed, item=item), data.validation)["ndcg@100"]
        assert metric == pytest.approx(expected)
    assert found[0] != pytest.approx(found[1])
