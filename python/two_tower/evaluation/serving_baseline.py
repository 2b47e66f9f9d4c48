"""Compares a new model with the serving one, on likes that neither was trained on.

The split changes with the data: once a user writes more reviews, other ones are held out, so last
week's model may have been trained on what is held out today. An evaluation therefore records the
training reviews of its model. Reviews that the serving model was trained on are neither targets nor
ranked, for both models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from two_tower.artifacts.registry import Registry
from two_tower.artifacts.runs import find_run
from two_tower.core.errors import TwoTowerError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database.releases import serving_version
from two_tower.database.warehouse import Warehouse
from two_tower.evaluation.held_out import HeldOutBatch, read_vectors
from two_tower.evaluation.paired_differences import SERVING, Paired, paired
from two_tower.evaluation.ranking import OVERALL, Catalogue, HeldOut, Tally
from two_tower.evaluation.results_tables import RECORDED_USERS
from two_tower.model.feature_rows import slots
from two_tower.model.slots import Ragged
from two_tower.model.towers import Towers, load_towers

State = Literal["compared", "other_layout", "unreadable"]
# The slices in which a new release may not be worse: those of models/serving/serving_checks.sql.
SLICES = (OVERALL, "new_users", "light_users", "tail_items", "cold_items")
UNRECORDED = (
    "the training reviews of the serving model are not recorded: some of them may be held out now,"
    " which flatters it"
)


@dataclass(frozen=True)
class ServingModel:
    """The model that is serving.

    Attributes:
        version: its version.
        towers: None if it cannot be measured on today's features.
        state: whether the models can be compared, or why not.
        note: the same in words.
        trained: user id -> item numbers of the user's training reviews; None if not recorded.
        last: md5 of the last recorded user, users being recorded in the order of their md5; None
            if all users are recorded.
    """

    version: str
    towers: Towers | None
    state: State = "compared"
    note: str = ""
    trained: Mapping[str, NDArray[np.int64]] | None = None
    last: str | None = None

    def unseen(self, users: HeldOut, places: list[str]) -> tuple[NDArray[np.int64], HeldOut]:
        """Return the users with likes that are held out from this model too.

        Args:
            users: users with likes held out from the new model.
            places: md5 of each user, which says whether the user is recorded.

        Returns:
            their rows in ``users``, int64 ``[kept]``, and the users without the targets that this
            model was trained on, which count as seen.
        """
        rows: list[int] = []
        seen: list[NDArray[np.int64]] = []
        targets: list[NDArray[np.int64]] = []
        nothing = np.zeros(0, dtype=np.int64)
        for row, user_id in enumerate(users.user_ids):
            if self.last is not None and places[row] > self.last:
                continue
            mine = nothing if self.trained is None else self.trained.get(str(user_id), nothing)
            left = np.setdiff1d(_row(users.targets, row), mine)
            if len(left):
                rows.append(row)
                targets.append(left)
                seen.append(np.union1d(_row(users.seen, row), mine))
        kept = np.array(rows, dtype=np.int64)
        liked = [_row(users.liked, row) for row in rows]
        return kept, HeldOut(
            users.user_ids[kept],
            users.user_slices[kept],
            _ragged(seen),
            _ragged(targets),
            _ragged(liked),
        )


def read_serving(
    warehouse: Warehouse, settings: Settings, candidate: str, layout_hash: str
) -> ServingModel | None:
    """Return the model of the serving release; None if there is none or it is the candidate.

    Raises:
        UnavailableError: the registry did not answer.
    """
    version = serving_version(warehouse)
    if version is None or version == candidate:
        return None
    try:
        towers = _towers(settings, version)
    except UnavailableError:
        raise
    except TwoTowerError as error:
        note = f"the model of {version}, which is serving, cannot be read: {error}"
        return ServingModel(version, None, "unreadable", note)
    if towers.layout.layout_hash != layout_hash:
        note = f"{version}, which is serving, reads other features than there are today"
        return ServingModel(version, None, "other_layout", note)
    trained, last = _trained(warehouse, version)
    note = UNRECORDED if trained is None else ""
    return ServingModel(version, towers, "compared", note, trained, last)


class SideBySide:
    """Ranks with the new and with the serving model for likes that are held out from both."""

    def __init__(self, warehouse: Warehouse, serving: ServingModel, catalogue: Catalogue) -> None:
        assert serving.towers is not None
        self.serving = serving
        self.towers = serving.towers
        self.vectors = read_vectors(warehouse, serving.towers)
        self.ours, self.theirs = Tally(catalogue), Tally(catalogue)

    def add(self, batch: HeldOutBatch, scores: torch.Tensor) -> None:
        """Rank for some users by the new model's ``scores``, float32 ``[users, items]``."""
        rows, users = self.serving.unseen(batch.users, batch.places)
        if not len(rows):
            return
        features = slots(self.towers.layout, "user", batch.rows.take(rows))
        theirs = self.towers.forward_sparse("user", features) @ self.vectors.T
        self.ours.add(users, scores[torch.from_numpy(rows)].clone())
        self.theirs.add(users, theirs)

    def results(self) -> list[Paired]:
        """Return one row per slice and metric."""
        if not self.ours.user_ids:
            return []
        return paired(self.ours, self.theirs, SERVING, self.serving.version, SLICES)


def _towers(settings: Settings, version: str) -> Towers:
    """Read a model from the registry or, if its file there is damaged, from its run."""
    try:
        return load_towers(Registry(settings).fetch(version, "pkl").path)
    except UnavailableError:
        raise
    except TwoTowerError as damaged:
        try:
            return load_towers(find_run(settings, version) / "towers.pt")
        except TwoTowerError:
            raise damaged from None


def _trained(
    warehouse: Warehouse, version: str
) -> tuple[dict[str, NDArray[np.int64]] | None, str | None]:
    """Return each user's recorded training items, and the md5 of the last recorded user."""
    reader = warehouse.read_arrow(
        "select t.user_id, md5('evaluation:' || t.user_id) as place,"
        " array_agg(i.item_number) as item_numbers"
        " from (select user_id, unnest(video_ids) as video_id from two_tower.evaluation_training"
        f"  where run_id = '{version}') as t"
        f" inner join {warehouse.schema}.item_feature_slots as i on i.video_id = t.video_id"
        " group by t.user_id"
    )
    found: dict[str, NDArray[np.int64]] = {}
    last = ""
    for batch in reader:
        numbers = Ragged.of(batch["item_numbers"], np.int64)
        for row, user_id in enumerate(batch["user_id"].to_pylist()):
            found[user_id] = _row(numbers, row)
        last = max([last, *batch["place"].to_pylist()])
    if not found:
        return None, None
    return found, last if len(found) >= RECORDED_USERS else None


def _row(ragged: Ragged, row: int) -> NDArray[np.int64]:
    values: NDArray[np.int64] = ragged.values[ragged.offsets[row] : ragged.offsets[row + 1]]
    return values


def _ragged(rows: list[NDArray[np.int64]]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64), offsets)
