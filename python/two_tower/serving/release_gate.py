"""The gate before a release: checks the files in the registry, and reads dbt's verdict.

dbt gives the verdict: ``promotion_checks`` has one row per check, and a failing test on it skips
the release (``models/serving/promotion_checks.sql``). SQL cannot read the model's files, so they
are checked here and the result is written to a table that the model reads.
"""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from two_tower.artifacts.descriptions import Kind
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import GateError, InputError, TwoTowerError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse
from two_tower.model.layout import TOLERANCE, TOWERS

# What to change, by the beginning of a check's name; docs/runbook.md says more.
ADVICE = {
    "mean_cosine": "vectors are crowded, little was learned: more reviews a video help most, then"
    " more passes (TWO_TOWER_TRAIN__STEPS)",
    "popularity": "lists have to be better than popularity's: look at the reviews that came last"
    " (two-tower status), or wait for more of them",
    "serving": "the serving release has better lists: look at what changed in the data"
    " (two-tower status), then two-tower train",
    "missing_or_extra": "the catalogue or the people changed since: two-tower embed",
    "registry": "two-tower run writes the files again",
}

# Rows that both files encode, and about how many slots each has. More than a power of two, so that
# a batch is not a whole number of SIMD blocks.
ROWS, SLOTS = 257, 20


@dataclass(frozen=True)
class Check:
    """A row of ``promotion_checks``.

    Attributes:
        attempt: number of the attempt to release.
        version: the version that was to be released.
        name: what was checked.
        value: what was measured; None if it could not be.
        requirement: ``at least``, ``at most``, ``above`` or ``below`` the threshold.
        threshold: None if there is nothing to compare with.
        passed: the verdict.
        note: why it passed whatever the value, or what is wrong.
    """

    attempt: int
    version: str
    name: str
    value: float | None
    requirement: str
    threshold: float | None
    passed: bool
    note: str | None

    def __str__(self) -> str:
        if self.value is None or self.threshold is None:
            return f"{self.name}: {self.note or 'not measured'}"
        short = abs(self.value - self.threshold)
        text = (
            f"{self.name} is {self.value:.4g}, {self.requirement} {self.threshold:.4g} is required"
            f" (short by {short:.2g})"
        )
        return f"{text}: {self.note}" if self.note else text


def check_artifacts(settings: Settings, warehouse: Warehouse, version: str) -> None:
    """Compare the two model files of the registry, and write the result to ``artifact_checks``.

    Raises:
        UnavailableError: the registry did not answer.
    """
    damaged, parity, note = 0, None, ""
    try:
        parity = _parity(Registry(settings).read_version(version))
    except UnavailableError:
        raise
    except TwoTowerError as error:
        damaged, note = int(not isinstance(error, GateError)), str(error)
    ddl.ensure_evaluation(warehouse)
    ddl.ensure_landing(warehouse)  # those of an older version of this program have no slots
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    with warehouse.transaction():
        warehouse.execute("delete from two_tower.artifact_checks where version = ?", (version,))
        for name, value, threshold in (
            ("registry:damaged_files", damaged, 0.0),
            ("registry:onnx_parity", parity, TOLERANCE),
        ):
            warehouse.execute(
                "insert into two_tower.artifact_checks"
                " (version, checked_at, check_name, value, threshold, note)"
                " values (?, ?, ?, ?, ?, ?)",
                (version, now, name, value, threshold, note),
            )


def last_checks(warehouse: Warehouse) -> list[Check]:
    """Return the checks of the newest attempt, failed ones first."""
    if not warehouse.relation_exists("two_tower", "promotion_checks"):
        return []
    rows = warehouse.fetch(
        "select attempt, version, check_name as name, value, requirement, threshold, passed, note"
        " from two_tower.promotion_checks where attempt ="
        " (select max(attempt) from two_tower.promotion_checks) order by passed, check_name"
    )
    return [Check(**row) for row in rows]


def refusal(version: str, failed: list[Check]) -> GateError:
    """Return the error that says which checks a version failed, and by how much."""
    lines = "\n".join(f"  {check}" for check in failed)
    advice = {ADVICE.get(check.name.split(":")[0]): None for check in failed}
    lines += "".join(f"\n  → {each}" for each in advice if each)
    return GateError(
        f"version {version} was not released: it failed {len(failed)} of the promotion checks,"
        f" the former version keeps serving\n{lines}",
        "select * from two_tower.promotion_checks where version = "
        f"'{version}' order by attempt desc, passed; the margins are dbt vars, gate_…",
    )


def _parity(files: Mapping[Kind, bytes]) -> float:
    """Return the largest difference between the vectors of the two files for the same rows."""
    from two_tower.model.onnx import check_parity
    from two_tower.model.towers import load_towers

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pickle, onnx = folder / "model.pkl", folder / "model.onnx"
        with gzip.open(io.BytesIO(files["pkl"])) as packed:
            pickle.write_bytes(packed.read())
        onnx.write_bytes(files["onnx"])
        towers = load_towers(pickle)
        rng = np.random.default_rng(0)
        rows = [
            (rng.random((ROWS, width)) < SLOTS / width).astype(np.float32)
            for width in (towers.layout.feature_dim(tower) for tower in TOWERS)
        ]
        for part in rows:
            part[:, 0] = 1  # an empty row has no direction
        try:
            return check_parity(onnx, towers.dense_module(), rows[0], rows[1])
        except TwoTowerError:
            raise
        except Exception as error:  # ONNX Runtime raises many kinds for a file it cannot read
            raise InputError(f"the ONNX file of the registry does not load: {error}") from error
