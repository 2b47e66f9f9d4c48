"""Train the towers on what dbt built: ``two-tower train``."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from two_tower.artifacts import runs
from two_tower.artifacts.runs import package_checksum
from two_tower.core import files
from two_tower.core.background import cancel_all
from two_tower.core.progress import bar, console
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.warehouse import open_warehouse
from two_tower.model.feature_rows import read_layout
from two_tower.model.layout import PAST_KINDS, Layout
from two_tower.model.towers import save_towers
from two_tower.training.data.dataset import Data, read_items, read_users, spool, survey
from two_tower.training.experts import session_ease, towers, transitions
from two_tower.training.recipe import Fitted, Recipe
from two_tower.training.tasks import Tasks

__all__ = ["TrainConfig", "TrainResult", "train"]

# What a model depends on beside the code, which trains another one on the same data.
INPUTS = (
    "config.json",
    "layout.json",
    "dataset/training_users.arrow",
    "dataset/item_feature_slots.arrow",
)


@dataclass(frozen=True)
class TrainResult:
    """What was trained.

    Attributes:
        version: the model's version.
        run_dir: its folder.
        loss: name of the loss.
        epochs: passes while looking for the best number of epochs.
        best_epoch: the number of epochs the model was trained for.
        valid_metric: NDCG@100 of the validation fold after so many, joined with the closed form
            alone; None where nobody could be ranked.
        taught: whether the towers followed the closed form at full rank while they trained.
        share: how much the trained towers count beside the closed form, 0..1.
        sitting_share: how much what goes together in one sitting counts beside both, 0..1.
        transition_share: how much what was reviewed last counts beside these, 0..1.
        train_loss: mean loss of a target in the model's last epoch; where the towers were taught,
            with what they followed.
        seconds: training time, without reading the database.
        rows_per_second: training reviews passed over a second.
        users: users trained on.
        items: videos in the catalogue.
        reviews: training reviews.
        user_feature_dim: width of a user's flat vector.
        item_feature_dim: width of a video's flat vector.
    """

    version: str
    run_dir: Path
    loss: str
    epochs: int
    best_epoch: int
    valid_metric: float | None
    taught: bool
    share: float
    sitting_share: float
    transition_share: float
    train_loss: float
    seconds: float
    rows_per_second: float
    users: int
    items: int
    reviews: int
    user_feature_dim: int
    item_feature_dim: int


def train(
    settings: Settings,
    config: TrainConfig,
    resume: bool = False,
    version: str | None = None,
    reuse: bool = False,
) -> TrainResult:
    """Train the towers on the tables that dbt built.

    Args:
        settings: the project.
        config: the run's settings; with ``resume`` those that the run began with count.
        resume: go on with an interrupted run: ``version``, or the newest.
        version: the new run's version; by default the moment it begins.
        reuse: where a finished run was trained on the same rows with the same settings, return it:
            training is deterministic and would give the same model again. One that was cut short
            is gone on with.

    Raises:
        NotEnoughDataError: no users, likes or videos.
        InputError: the tables do not fit together, there is no run to go on with, or another
            version of this program began it.
    """
    runs_dir = settings.path(settings.runs_dir)
    if resume:
        run = runs.interrupted_run(runs_dir, version)
        config = TrainConfig.model_validate_json((run / "config.json").read_text(encoding="utf-8"))
        data = _open(run, Layout.read(run / "layout.json"))
    else:
        run, data = _begin(settings, config, runs_dir, version)
        inputs = runs.sha256_of(run, INPUTS) + package_checksum()
        earlier = runs.finished_run(runs_dir, inputs) if reuse else None
        if earlier is not None:
            del data  # it has the files of the new run open
            shutil.rmtree(run)
            return TrainResult(**earlier | {"run_dir": Path(earlier["run_dir"])})
        begun = runs.begun_run(runs_dir, inputs) if reuse else None
        if begun is not None:
            del data
            shutil.rmtree(run)
            run, data = begun, _open(begun, Layout.read(begun / "layout.json"))
        else:
            files.write_json(run / "inputs.json", {"sha256": inputs})
    started = time.perf_counter()
    tasks = Tasks(run)
    with _threads(len(data.items)), bar("Training") as shown:
        try:
            fitted = Recipe(config, data, tasks, shown).fit()
        except KeyboardInterrupt:
            console.print(
                f"Stopped; what was done up to the last checkpoint is kept in {run}.\n"
                "Go on with: two-tower train --resume"
            )
            raise
        finally:
            cancel_all()
    files.write_json(run / "history.json", fitted.history)
    files.write_whole(run / "towers.pt", lambda path: save_towers(path, fitted.towers))
    result = _result(run, config, data, fitted, time.perf_counter() - started)
    files.write_json(run / "result.json", asdict(result) | {"run_dir": str(run)})
    (run / "checkpoint.pt").unlink(missing_ok=True)
    shutil.rmtree(run / "tasks")
    shutil.rmtree(run / "dataset")
    return result


def _begin(
    settings: Settings, config: TrainConfig, runs_dir: Path, version: str | None
) -> tuple[Path, Data]:
    """Copy the data into a new run's folder; without data to train on there is no run."""
    with open_warehouse(settings) as warehouse:
        layout = read_layout(warehouse)
        if config.features == "spec":
            layout = layout.without((*PAST_KINDS, "identity"))
        elif config.start == "random":  # the transitions alone read it
            layout = layout.without(("recency",))
        run = runs.make_run(runs_dir, version)
        try:
            spool(warehouse, run / "dataset")
            data = _open(run, layout)
        except BaseException:
            shutil.rmtree(run, ignore_errors=True)
            raise
    layout.write(run / "layout.json")
    # Last: a run without it has not begun.
    files.write_json(run / "config.json", config.model_dump(mode="json"))
    return run, data


def _open(run: Path, layout: Layout) -> Data:
    """Open the run's copy of the data."""
    items = read_items(run / "dataset", layout)
    return survey(layout, read_users(run / "dataset", layout), items)


def _result(
    run: Path, config: TrainConfig, data: Data, fitted: Fitted, seconds: float
) -> TrainResult:
    layout, last = fitted.towers.layout, fitted.trained[-1]
    trained = sum(each.seconds for each in fitted.trained)
    return TrainResult(
        version=run.name,
        run_dir=run,
        loss=config.loss,
        epochs=len(fitted.history) or fitted.schedule.epochs,
        best_epoch=fitted.schedule.epochs,
        valid_metric=fitted.value,
        taught=fitted.schedule.distilled,
        share=fitted.choice.of(towers.name),
        sitting_share=fitted.choice.of(session_ease.name),
        transition_share=fitted.choice.of(transitions.name),
        train_loss=last.rows[-1]["loss"],
        seconds=round(fitted.before + seconds, 2),
        rows_per_second=round(sum(each.reviews for each in fitted.trained) / max(trained, 1e-9)),
        users=len(data.likers),
        items=len(data.items),
        reviews=data.reviews,
        user_feature_dim=layout.feature_dim("user"),
        item_feature_dim=layout.feature_dim("item"),
    )


@contextmanager
def _threads(items: int) -> Iterator[None]:
    """Use one thread for the length of the block where the catalogue is small.

    Below 20,000 videos a step, and below 2,000 a matrix, is done so soon that a second thread costs
    more than it does: much more where the other core has work of its own. A large matrix has half
    of the threads: steps and another matrix go on beside it, and a thread that waits for one that
    has no core keeps its own busy.
    """
    before = torch.get_num_threads()
    blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
    if items < 20_000:
        torch.set_num_threads(1)
    try:
        part = max(1, int(min(blas, default=1) * 0.5))
        with threadpool_limits(1 if items < 2_000 else part, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
