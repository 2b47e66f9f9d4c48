"""Train the towers on what dbt built: ``two-tower train``."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from two_tower.artifacts import runs
from two_tower.artifacts.runs import package_checksum
from two_tower.core import files, ray_cluster
from two_tower.core.background import cancel_all
from two_tower.core.progress import bar, console
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database.parquet_features import open_features
from two_tower.model.feature_rows import read_layout
from two_tower.model.layout import PAST_KINDS, Layout
from two_tower.model.towers import save_towers
from two_tower.training import crowding, reduction
from two_tower.training.data.dataset import Data, Workers, read_data, spool
from two_tower.training.experts import popularity, session_ease, towers, transitions
from two_tower.training.recipe import Fitted, FitTowers, Recipe
from two_tower.training.tasks import Tasks

logger = logging.getLogger(__name__)

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
    """What was trained."""

    version: str
    run_dir: Path
    loss: str
    epochs: int  # passes over the users in the search
    best_epoch: int  # passes of the model's schedule
    valid_metric: float | None  # NDCG@100 of fold 0, beside EASE alone; None if nobody was ranked
    taught: bool  # whether the towers were distilled from EASE
    share: float  # of the towers beside EASE, 0..1
    sitting_share: float  # of EASE over sessions beside both, 0..1
    transition_share: float  # of the transitions beside these, 0..1
    popularity_share: float  # of popularity beside all of these, 0..1
    prior: float  # size of what is known before the first like, a share of users' mean length
    train_loss: float  # mean loss of a target in the last epoch
    seconds: float  # without reading the database
    rows_per_second: float  # training reviews
    users: int  # with a like
    items: int
    reviews: int  # for training
    user_feature_dim: int
    item_feature_dim: int
    crowding: dict[str, float]  # mean cosines of `users` and `videos`, before any were spread


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
        config: the run's settings; with ``resume`` those that the run began with count, but for the
            device.
        resume: resume an interrupted run: ``version``, or the newest.
        version: the new run's version; by default the moment it begins.
        reuse: return a finished run of the same rows and settings, which would give the same model
            bit by bit; resume one that was cut short.

    Raises:
        NotEnoughDataError: no users, likes or videos.
        InputError: the tables do not fit together, there is no run to resume, another version of
            this program began it, the device is not there, or Ray is asked for and not installed.
        UnavailableError: the Ray cluster does not answer, or has lost too much.
    """
    towers.device_of(config)
    with _engine(settings) as engine:
        return _train(settings, config, resume, version, reuse, engine)


def _train(
    settings: Settings,
    config: TrainConfig,
    resume: bool,
    version: str | None,
    reuse: bool,
    engine: tuple[Workers | None, FitTowers],
) -> TrainResult:
    runs_dir = settings.path(settings.runs_dir)
    if resume:
        run = runs.interrupted_run(runs_dir, version)
        begun_with = (run / "config.json").read_text(encoding="utf-8")
        # A run may be resumed on another machine.
        config = TrainConfig.model_validate_json(begun_with).changed(device=config.device)
        data = _open(run)
    else:
        run, data = _begin(settings, config, runs_dir, version)
        inputs = runs.sha256_of(run, INPUTS) + package_checksum()
        finished = runs.finished_run(runs_dir, inputs) if reuse else None
        begun = runs.begun_run(runs_dir, inputs) if reuse and finished is None else None
        if finished is not None or begun is not None:
            del data  # it has the files of the new run open
            shutil.rmtree(run)
        else:
            files.write_json(run / "inputs.json", {"sha256": inputs})
        if finished is not None:
            return TrainResult(**finished | {"run_dir": Path(finished["run_dir"])})
        if begun is not None:
            run, data = begun, _open(begun)
    started = time.perf_counter()
    tasks = Tasks(run)
    workers, fit_towers = engine
    reduced = reduction.reduce(replace(data, workers=workers))
    with _threads(len(data.items)), bar("Training") as shown:
        try:
            fitted = Recipe(config, reduced.data, tasks, shown, fit_towers).fit()
        except KeyboardInterrupt:
            console.print(
                f"Stopped; what was done up to the last checkpoint is kept in {run}.\n"
                "Go on with: two-tower train --resume"
            )
            raise
        finally:
            cancel_all()
    files.write_json(run / "history.json", fitted.history)
    fitted = replace(fitted, towers=reduced.restored(fitted.towers))
    files.write_whole(run / "towers.pt", lambda path: save_towers(path, fitted.towers))
    _warn_of_crowding(fitted.crowding)
    result = _result(run, config, data, fitted, time.perf_counter() - started)
    files.write_json(run / "result.json", asdict(result) | {"run_dir": str(run)})
    (run / "checkpoint.pt").unlink(missing_ok=True)
    shutil.rmtree(run / "tasks")
    shutil.rmtree(run / "dataset")
    shutil.rmtree(run / "ray", ignore_errors=True)
    return result


@contextmanager
def _engine(settings: Settings) -> Iterator[tuple[Workers | None, FitTowers]]:
    """Yield who helps with passes over users, and how towers are fitted."""
    if settings.engine == "local":
        yield None, towers.fit
        return
    with ray_cluster.connected():
        from two_tower.training import on_ray

        yield on_ray.RayWorkers(), on_ray.fit_towers


def _begin(
    settings: Settings, config: TrainConfig, runs_dir: Path, version: str | None
) -> tuple[Path, Data]:
    """Copy the data into a new run's folder, which is left only where there is something to train.

    ``config.json`` comes last: a run without it has not begun.
    """
    with open_features(settings) as features:
        layout = read_layout(features)
        if config.features == "spec":
            layout = layout.without((*PAST_KINDS, "identity"))
        elif config.start == "random":  # the transitions alone read it
            layout = layout.without(("recency",))
        run = runs.make_run(runs_dir, version)
        try:
            layout.write(run / "layout.json")
            spool(features, run / "dataset")
            data = _open(run)
        except BaseException:
            shutil.rmtree(run, ignore_errors=True)
            raise
    files.write_json(run / "config.json", config.model_dump(mode="json"))
    return run, data


def _open(run: Path) -> Data:
    """Open the run's copy of the data."""
    return read_data(run / "dataset", Layout.read(run / "layout.json"))


def _result(
    run: Path, config: TrainConfig, data: Data, fitted: Fitted, seconds: float
) -> TrainResult:
    layout, trained = fitted.towers.layout, sum(each.seconds for each in fitted.trained)
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
        popularity_share=fitted.choice.of(popularity.name),
        prior=fitted.choice.prior,
        train_loss=fitted.trained[-1].rows[-1]["loss"],
        seconds=round(fitted.before + seconds, 2),
        rows_per_second=round(sum(each.reviews for each in fitted.trained) / max(trained, 1e-9)),
        users=len(data.likers),
        items=len(data.items),
        reviews=data.reviews,
        user_feature_dim=layout.feature_dim("user"),
        item_feature_dim=layout.feature_dim("item"),
        crowding={name: round(value, 3) for name, value in fitted.crowding.items()},
    )


def _warn_of_crowding(found: dict[str, float]) -> None:
    """Say that vectors had to be spread, and what makes a better model."""
    crowded = [f"{name} {value:.2f}" for name, value in found.items() if value > crowding.MOST]
    if crowded:
        logger.warning(
            "Vectors were crowded (mean cosine of %s) and have been spread to %s: little was"
            " learned. More reviews a video help most; then more passes (TWO_TOWER_TRAIN__STEPS).",
            ", ".join(crowded),
            crowding.MOST,
        )


@contextmanager
def _threads(items: int) -> Iterator[None]:
    """Use one thread where the catalogue is small, and half of them for a large matrix.

    Below 2,000 videos a matrix is done so soon that a second thread costs more than it does. Beside
    a large matrix steps and another matrix go on, and a thread that waits for one without a core
    keeps its own busy.
    """
    before = torch.get_num_threads()
    blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
    if items < towers.ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    try:
        part = max(1, int(min(blas, default=1) * 0.5))
        with threadpool_limits(1 if items < 2_000 else part, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
