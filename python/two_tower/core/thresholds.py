"""Thresholds of ``two-tower status --check``: TWO_TOWER_MONITOR__FIELD, as JSON."""

from pydantic import BaseModel, ConfigDict, Field

Pair = tuple[float, float]


class Thresholds(BaseModel):
    """Pairs are [warning, critical].

    The ages are one and two missed weekly runs, with two days and one day of grace. A recall of .95
    and a rejected share of .3 are the vars ``index_recall_floor`` and ``rejected_share_ceiling``.
    """

    model_config = ConfigDict(extra="forbid")

    release_age_days: Pair = Field(
        default=(9, 15), description="since when the version serves: a weekly run that is missed"
    )
    run_age_days: Pair = Field(
        default=(9, 15), description="since a weekly run has ended well, whether it released or not"
    )
    run_hours: float = Field(
        default=24, gt=0, description="how long a run may take; a warning beyond"
    )
    rejected_share: Pair = Field(
        default=(0.05, 0.3), description="of the rows of all review files, 0 to 1"
    )
    index_recall: Pair = Field(
        default=(0.95, 0.9), description="at most so much: recall@20 of the search, 0 to 1"
    )
    drifted: Pair = Field(
        default=(1, 1_000_000), description="measures of drift beyond their own threshold"
    )
