"""Training on real tables in DuckDB: the files, the seeds, kills and interruptions."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import training_tables
from two_tower.artifacts.runs import VERSION
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.model.layout import Layout
from two_tower.model.towers import Towers, load_towers
from two_tower.training import recipe, tasks
from two_tower.training.data.dataset import Data
from two_tower.training.ensemble import Choice, Ensemble
from two_tower.training.experts import distillation, towers
from two_tower.training.experts.towers import Fit
from two_tower.training.recipe import Recipe
from two_tower.training.train import train

SMALL = TrainConfig(epochs=4, batch_size=32)
ALONE = SMALL.model_copy(update={"start": "random"})
# Of four steps each, without a closed form.
TWO_EPOCHS = TrainConfig(epochs=20, batch_size=32, steps=8, start="random")


@pytest.fixture
def settings(duckdb_settings: Settings) -> Settings:
    with open_warehouse(duckdb_settings) as warehouse:
        training_tables.build(warehouse)
    return duckdb_settings


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "towers.pt", weights_only=True)["state"]
    return state


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("start", ["closed_form", "random"])
@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_towers_learn_who_likes_what(settings: Settings, loss: str, start: str) -> None:
    result = train(settings, TrainConfig(loss=loss, start=start, epochs=20, batch_size=16))
    # At random over the 50-odd videos left to rank: about 0.29.
    assert result.valid_metric is not None
    assert result.valid_metric > 0.38
    assert (result.users, result.items, result.loss) == (120, 60, loss)
    assert (result.user_feature_dim, result.item_feature_dim) == (104, 53)


def test_a_finished_run_has_its_files_and_no_others(settings: Settings) -> None:
    result = train(settings, SMALL)
    run = result.run_dir
    assert VERSION.fullmatch(result.version)
    assert run == settings.path(settings.runs_dir) / result.version
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("config.json", "history.json", "inputs.json", "layout.json", "result.json"),
        "towers.pt",
    }
    assert load_towers(run / "towers.pt").layout == Layout.read(run / "layout.json")
    assert TrainConfig(**json.loads((run / "config.json").read_text())) == SMALL
    history = json.loads((run / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert {"loss", "ndcg@10", "ndcg@100", "recall@20", "learning_rate"} <= history[0].keys()
    assert result.valid_metric == history[-1]["ndcg@100"]


def test_nobody_waits_for_what_the_only_schedule_is_worth(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is judged once all epochs of the final fit are done, and in the history all the same."""
    expected = train(settings, SMALL)
    trained, (judge, epoch) = threading.Event(), (Recipe._judge, Fit.epoch)
    monkeypatch.setattr(Recipe, "_judge", lambda *given: trained.wait(60) and judge(*given))

    def noted(fit: Fit, *given: Any) -> dict[str, float]:
        found = epoch(fit, *given)
        if fit.data.fold is None and fit.done == fit.epochs:
            trained.set()
        return found

    monkeypatch.setattr(Fit, "epoch", noted)
    result = train(settings, SMALL)
    assert result.valid_metric == expected.valid_metric
    assert json.loads((result.run_dir / "history.json").read_text())[-1]["ndcg@100"]
    assert same(result.run_dir, expected.run_dir)


def test_a_seed_trains_the_same_model_bit_by_bit(settings: Settings) -> None:
    first, again = train(settings, SMALL), train(settings, SMALL)
    other = train(settings, SMALL.model_copy(update={"seed": 1}))
    assert again.version > first.version
    assert same(first.run_dir, again.run_dir)
    assert not same(first.run_dir, other.run_dir)


def test_the_same_rows_and_settings_are_not_trained_on_twice(settings: Settings) -> None:
    first = train(settings, SMALL, reuse=True)
    assert train(settings, SMALL, reuse=True) == first
    other = train(settings, SMALL.model_copy(update={"seed": 1}), reuse=True)
    assert other.version > first.version
    with open_warehouse(settings) as warehouse:
        users = warehouse.fetch("select min(user_id) as first from two_tower.training_users")
        warehouse.execute(
            "delete from two_tower.training_users where user_id = ?", (users[0]["first"],)
        )
    changed = train(settings, SMALL, reuse=True)
    assert changed.version > other.version
    assert len(list(settings.path(settings.runs_dir).iterdir())) == 3


PROGRAM = """
import sys, time
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.training import recipe, tasks
from two_tower.training.ensemble import Ensemble
from two_tower.training.experts.towers import Fit
from two_tower.training.experts import distillation
from two_tower.training.train import train

epoch, choose = Fit.epoch, Ensemble.choose_cold_start

def slow_epoch(self, advance):
    time.sleep(0.2 if self.data.fold is None else 0.0)
    return epoch(self, advance)

def slow_trial(self, *given):
    time.sleep({trial})
    return choose(self, *given)

Fit.epoch, Ensemble.choose_cold_start = slow_epoch, slow_trial
tasks.SAVE_EVERY = 0.0
if {distil}:
    distillation.LEAST_LOST, recipe.first_or_best = -9.0, lambda found, least: len(found) - 1
settings = Settings(_env_file=None, target="duckdb", duckdb_path=sys.argv[1], runs_dir=sys.argv[2])
train(settings, TrainConfig(**{config}), version="20260101_000000")
"""


def checkpoint_of(run: Path) -> dict[str, Any] | None:
    path = run / "checkpoint.pt"
    return torch.load(path, weights_only=True) if path.exists() else None


def always_distil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the closed form distilled whatever its rank loses, and the other schedule taken."""
    monkeypatch.setattr(distillation, "LEAST_LOST", -9.0)
    monkeypatch.setattr(recipe, "first_or_best", lambda found, _least: len(found) - 1)


@pytest.mark.parametrize(
    ("key", "done", "trial", "steps", "distil"),
    # In the search; in its other schedule, when the first is judged; in the final fit, while all is
    # judged, of which nothing is known yet; and where that is known.
    [
        ("search/towers 1", 2, 0, 10_000, False),
        ("search/towers 1", 3, 0, 60, False),
        ("search/towers 2", 5, 0, 60, False),
        ("search/towers 2", 5, 0, 60, True),
        ("final/towers", 2, 600, 10_000, False),
        ("final/towers", 2, 600, 60, True),
        ("final/towers", 2, 0, 10_000, False),
        ("final/towers", 2, 0, 60, True),
    ],
)
def test_a_killed_run_is_resumed_to_the_same_model(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    done: int,
    trial: int,
    steps: int,
    distil: bool,
) -> None:
    config = TrainConfig(epochs=12, steps=steps, batch_size=8)
    given = {"config": repr(config.model_dump()), "trial": str(trial), "distil": str(distil)}
    program = PROGRAM
    for name, value in given.items():
        program = program.replace(f"{{{name}}}", value)
    paths = [str(settings.duckdb_path), str(settings.runs_dir)]
    process = subprocess.Popen([sys.executable, "-c", program, *paths], env=dict(os.environ))
    run = settings.runs_dir / "20260101_000000"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        saved = checkpoint_of(run) or {"key": ""}
        if saved["key"] == key and saved["fit"]["done"] >= done:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    found = checkpoint_of(run)
    assert found is not None
    assert found["key"] == key
    assert (run / "tasks" / "search" / "weights.pickle").exists() <= (trial == 0)
    assert not (run / "towers.pt").exists()
    if distil:
        always_distil(monkeypatch)
    resumed = train(settings, TrainConfig(seed=99), resume=True)
    assert resumed.run_dir == run
    assert resumed.taught == distil
    assert same(run, train(settings, config).run_dir)


def test_sessions_that_are_chosen_are_in_the_model(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for share in (0.0, 0.3):

        def choose(self: Ensemble, choice: Choice, *_: object, share: float = share) -> Choice:
            return choice.with_weight("session_ease", share)

        monkeypatch.setattr(Ensemble, "choose", choose)
        results.append(train(settings, SMALL))
    assert [result.sitting_share for result in results] == [0.0, 0.3]
    assert not same(*(result.run_dir for result in results))


def test_what_another_version_trained_is_not_used_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(settings, SMALL, reuse=True)
    monkeypatch.setattr("two_tower.training.train.package_checksum", lambda: "another")
    assert train(settings, SMALL, reuse=True).version > first.version


def interrupt_after_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = Fit.epoch

    def interrupted(self: Fit, advance: object) -> dict[str, float]:
        if self.done == 2:
            raise KeyboardInterrupt
        return epoch(self, advance)  # type: ignore[arg-type]

    monkeypatch.setattr(Fit, "epoch", interrupted)


def test_what_another_version_began_is_not_resumed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after_two_epochs(monkeypatch)
    monkeypatch.setattr(tasks, "package_checksum", lambda: "another")
    with pytest.raises(KeyboardInterrupt):
        train(settings, SMALL)
    monkeypatch.undo()
    with pytest.raises(InputError, match="another version"):
        train(settings, SMALL, resume=True)


def test_ctrl_c_keeps_the_epochs_and_says_how_to_resume(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_after_two_epochs(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(settings, SMALL)
    assert "two-tower train --resume" in capsys.readouterr().err
    monkeypatch.undo()
    assert same(train(settings, SMALL, resume=True).run_dir, train(settings, SMALL).run_dir)


def measured_at_the_ends(monkeypatch: pytest.MonkeyPatch, *figures: float) -> None:
    """Have validation find these at the ends of schedules, and more after every other epoch."""
    monkeypatch.setattr(towers, "GLANCED", 1)
    ends = iter(figures)

    def found(_towers: Towers, data: Data, users: NDArray[np.int64]) -> dict[str, float]:
        return {"ndcg@100": 0.9 if len(users) == 1 else next(ends)}

    for module in (recipe, towers):
        monkeypatch.setattr(module, "validate_towers", found)


@pytest.mark.parametrize(
    ("figures", "expected", "temperature"),
    [
        # What counts is the end of a schedule.
        ((0.3, 0.2), (14, 2, 0.3), 0.2),
        # What gains no more than chance is not taken.
        ((0.3, 0.301), (14, 2, 0.3), 0.2),
        ((0.3, 0.302), (14, 12, 0.302), 0.1),
    ],
)
def test_the_longer_and_sharper_schedule_is_taken_where_it_is_better(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    figures: tuple[float, float],
    expected: tuple[int, int, float],
    temperature: float,
) -> None:
    begun = []

    class Watched(Fit):
        def __init__(self, config: TrainConfig, *given: Any, **named: Any) -> None:
            begun.append(config.temperature)
            super().__init__(config, *given, **named)

    monkeypatch.setattr(towers, "Fit", Watched)
    measured_at_the_ends(monkeypatch, *figures)
    result = train(settings, TWO_EPOCHS)
    assert (result.epochs, result.best_epoch, result.valid_metric) == expected
    history = json.loads((result.run_dir / "history.json").read_text())
    assert [row["schedule"] for row in history] == [2] * 2 + [12] * 12
    assert [row["temperature"] for row in history] == [0.2] * 2 + [0.1] * 12
    assert [row["ndcg@100"] for row in history] == [0.9, figures[0], *[0.9] * 11, figures[1]]
    assert history[1]["learning_rate"] < history[0]["learning_rate"]
    assert begun == [0.2, 0.1, temperature]


def test_on_the_longer_schedule_the_towers_are_distilled_from_ease_where_its_rank_loses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the search one that does not know the validation fold, in the final fit one that does."""
    followed = []

    class Watched(Fit):
        def __init__(self, config: TrainConfig, data: Data, *given: Any) -> None:
            followed.append(given[1])
            super().__init__(config, data, *given)

    monkeypatch.setattr(towers, "Fit", Watched)
    config = TWO_EPOCHS.model_copy(update={"start": "closed_form", "ridge": 2.0})
    alone = train(settings, config)
    assert followed == [None] * 3
    assert not alone.taught
    always_distil(monkeypatch)
    result = train(settings, config)
    assert result.taught
    assert not same(alone.run_dir, result.run_dir)
    history = json.loads((result.run_dir / "history.json").read_text())
    assert [row["taught"] for row in history] == [False] * 2 + [True] * 12
    first, search, final = followed[3:]
    assert first is None
    with open_warehouse(settings) as warehouse:
        data = training_tables.read(warehouse, settings.runs_dir / "again")
    for found, view in ((search, data.without_fold(0)), (final, data)):
        expected = distillation.fit(config, view)
        np.testing.assert_array_equal(found.solution, expected.solution)


@pytest.mark.parametrize(
    ("steps", "epochs", "passes", "schedules"),
    [
        (6, 20, 20, [2] * 2 + [12] * 12),
        (6, 20, 5, [2] * 2 + [5] * 5),
        # Of however many reviews, all are passed over a few times; less is not tried then.
        (6, 20, 1, [4] * 4),
        # The first schedule has all that it may have, and where it may have one more.
        (6, 2, 20, [2, 2]),
        (6, 3, 20, [2] * 2 + [6] * 6),
    ],
)
def test_there_is_no_more_of_the_longer_schedule_than_pays(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    epochs: int,
    passes: int,
    schedules: list[int],
) -> None:
    """Of many reviews it is cut short."""
    with open_warehouse(settings) as warehouse:
        [row] = warehouse.fetch("select sum(len(folds)) as reviews from two_tower.training_users")
    monkeypatch.setattr(towers, "MOST_READ", passes * int(row["reviews"]))
    measured_at_the_ends(monkeypatch, 0.3, 0.4)
    result = train(settings, TWO_EPOCHS.model_copy(update={"steps": steps, "epochs": epochs}))
    history = json.loads((result.run_dir / "history.json").read_text())
    assert [row["schedule"] for row in history] == schedules


@pytest.mark.parametrize(
    ("passes", "steps", "fits"),
    [
        (4, 6, [(4, 1.0, 0), (1, towers.ON_FROM, None)]),
        (5, 6, [(2, 1.0, 0), (5, 1.0, 0), (5, 1.0, None)]),
        # Few people with as many reviews have more passes, and each fit is anew.
        (4, 21, [(6, 1.0, 0), (6, 1.0, None)]),
    ],
)
def test_of_many_reviews_the_towers_of_the_search_are_trained_on(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    passes: int,
    steps: int,
    fits: list[tuple[int, float, int | None]],
) -> None:
    """A pass from what was found, at less of the learning rate, in place of as many anew."""
    with open_warehouse(settings) as warehouse:
        [row] = warehouse.fetch("select sum(len(folds)) as reviews from two_tower.training_users")
    monkeypatch.setattr(towers, "MOST_READ", passes * int(row["reviews"]))
    measured_at_the_ends(monkeypatch, 0.3, 0.4)
    made, begun = [], []
    make = towers.Fit.__init__

    def watched(self: Any, *given: Any) -> None:
        make(self, *given)
        weight = self.towers.towers["user"].weight.detach().clone()
        made.append((self.epochs, self._rate(0) / self.config.learning_rate, self.data.fold))
        begun.append((self.towers, weight))

    monkeypatch.setattr(towers.Fit, "__init__", watched)
    train(settings, TWO_EPOCHS.model_copy(update={"steps": steps, "epochs": 20}))
    assert made == fits
    found, (_, first) = begun[0][0].towers["user"].weight, begun[1]
    assert torch.equal(found, first) == (fits[-1][1] == towers.ON_FROM)


@pytest.mark.parametrize(
    ("users", "expected", "steps"),
    [
        (943, 128, 8),
        (12_800, 128, 100),
        (12_801, 256, 51),
        (35_000, 512, 69),
        (500_000, 1024, 489),
        (5_000_000, 1024, 4883),
    ],
)
def test_a_step_has_more_users_where_there_are_many(users: int, expected: int, steps: int) -> None:
    """Or 35,000 people would be passed over twice, and nothing be learned of most videos."""
    config = TrainConfig()
    assert towers.batch_size(config, users) == expected
    first, found = towers.first_schedule(config, users)
    assert found == steps
    assert first * steps >= config.steps


def test_a_sampled_softmax_trains_where_the_full_one_would_not_fit(settings: Settings) -> None:
    sampled = {"max_full_softmax_items": 10, "sampled_items": 10}
    result = train(settings, TrainConfig(epochs=20, batch_size=16, start="random", **sampled))
    assert result.valid_metric is not None
    assert result.valid_metric > 0.38


def test_the_closed_form_adds_to_towers_that_were_trained_too_little(settings: Settings) -> None:
    little = {"epochs": 1, "learning_rate": 1e-4}
    alone = train(settings, ALONE.model_copy(update=little))
    both = train(settings, SMALL.model_copy(update=little))
    assert alone.share == 1
    assert both.share < 1
    assert alone.valid_metric is not None
    assert both.valid_metric is not None
    assert both.valid_metric > alone.valid_metric


def test_settings_of_runs_that_had_no_hidden_layer_are_read() -> None:
    assert TrainConfig.model_validate_json('{"hidden": 0}') == TrainConfig()
    with pytest.raises(ValueError, match="hidden"):
        TrainConfig.model_validate_json('{"hidden": 16}')


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("delete from two_tower.training_users", "0 users"),
        ("delete from two_tower.item_feature_slots", "0 videos"),
        ("update two_tower.training_users set labels = [0 for x in labels]", "no user likes"),
        ("drop table two_tower.training_users", "does not exist"),
        ("delete from two_tower.feature_layout", "is empty"),
    ],
)
def test_too_little_data_is_said_and_leaves_no_run(
    settings: Settings, statement: str, message: str
) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute(statement)
    with pytest.raises(NotEnoughDataError, match=message):
        train(settings, SMALL)
    assert not list(settings.runs_dir.glob("*"))


def test_nothing_to_resume_is_said(settings: Settings) -> None:
    with pytest.raises(InputError, match="no interrupted training run"):
        train(settings, SMALL, resume=True)


def test_the_specifications_features_alone_train_too(settings: Settings) -> None:
    result = train(settings, TrainConfig(features="spec", epochs=20, batch_size=16))
    assert result.share == 1
    assert (result.user_feature_dim, result.item_feature_dim) == (4, 3)
    kinds = {
        block["kind"] for block in json.loads((result.run_dir / "layout.json").read_text())["user"]
    }
    assert "history" not in kinds
    # A third of the videos, those of the user's own group, are left to choose from.
    assert result.valid_metric is not None
    assert result.valid_metric > 0.38
