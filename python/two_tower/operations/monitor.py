"""Verdicts for monitors such as Nagios: ``two-tower status --check``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from two_tower.core.errors import ExitCode
from two_tower.core.thresholds import Thresholds
from two_tower.operations.health import Health, Run
from two_tower.operations.run_history import CUT_SHORT, DONE, FAILED, REFUSED, RUNNING, STOPPED

WEEKLY, DAILY = "load to release", "load to refresh"
NOT_WELL = (FAILED, REFUSED, STOPPED, CUT_SHORT)


class State(IntEnum):
    """The state of a check; larger is worse."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Verdict:
    """One check: its state and what was found."""

    check: str
    state: State
    message: str


def verdicts(health: Health, limits: Thresholds, now: datetime) -> list[Verdict]:
    """Compare the project's health with the thresholds.

    Args:
        health: of the project.
        limits: the thresholds.
        now: UTC.
    """
    return [
        *_answer(health),
        *_release(health, limits, now),
        *_weekly(health, limits, now),
        *_daily(health, limits, now),
        *_rejected(health, limits),
        *_index(health, limits),
        *_latest(health),
        *_drift(health, limits),
    ]


def worst(found: list[Verdict]) -> State:
    """Return the worst state."""
    return max(verdict.state for verdict in found)


def exit_code(found: list[Verdict]) -> ExitCode:
    """Return the exit code of the worst state."""
    codes = {State.OK: ExitCode.OK, State.WARNING: ExitCode.WARNING}
    return codes.get(worst(found), ExitCode.CRITICAL)


def summary(found: list[Verdict]) -> dict[str, Any]:
    """Return the verdicts as plain JSON."""
    checks = [
        {"check": verdict.check, "state": verdict.state.name.lower(), "message": verdict.message}
        for verdict in found
    ]
    return {"state": worst(found).name.lower(), "checks": checks}


def _answer(health: Health) -> Iterator[Verdict]:
    if health.answers:
        yield Verdict("answer", State.OK, "recommend_videos answers")
    else:
        yield Verdict("answer", State.CRITICAL, "recommend_videos has no answer")


def _release(health: Health, limits: Thresholds, now: datetime) -> Iterator[Verdict]:
    if health.released_at is None:
        yield Verdict("release", State.WARNING, "no model was released yet")
        return
    state = _over(now - health.released_at, *limits.release_age_days)
    age = _days(now - health.released_at)
    yield Verdict("release", state, f"{health.serving_version} serves since {age}")


def _weekly(health: Health, limits: Thresholds, now: datetime) -> Iterator[Verdict]:
    run = _run(health, WEEKLY)
    if run is None or run.done_at is None:
        told = "none has ended well" if run else "there was none yet"
        yield Verdict("run", State.WARNING, f"{WEEKLY}: {told}{_why(run)}")
        return
    state = _over(now - run.done_at, *limits.run_age_days)
    ended = f"{WEEKLY}: the last one that ended well is {_days(now - run.done_at)} old"
    yield Verdict("run", max(state, _ending(run, limits, now)), f"{ended}{_why(run)}")


def _daily(health: Health, limits: Thresholds, now: datetime) -> Iterator[Verdict]:
    """Check the daily run, if there are any."""
    run = _run(health, DAILY)
    if run is not None:
        yield Verdict("daily", _ending(run, limits, now), f"{DAILY}: {run.state}{_why(run)}")


def _rejected(health: Health, limits: Thresholds) -> Iterator[Verdict]:
    if health.rejected_share is not None:
        state = _from(health.rejected_share, *limits.rejected_share)
        yield Verdict("rejected", state, f"{health.rejected_share:.2%} of the rows were rejected")


def _index(health: Health, limits: Thresholds) -> Iterator[Verdict]:
    if health.index_recall is None:
        return
    warning, critical = limits.index_recall
    state = _from(-health.index_recall, -warning, -critical)
    if health.index in ("missing", "half built"):
        state = max(state, State.WARNING)
    told = f"index {health.index}, recall@20 {health.index_recall:.3f} at the release"
    yield Verdict("index", state, told)


def _latest(health: Health) -> Iterator[Verdict]:
    if health.serving_version is None:
        return
    is_same = health.latest_version == health.serving_version
    told = f"the registry's latest is {health.latest_version or 'missing'}"
    state = State.OK if is_same else State.WARNING
    yield Verdict("latest", state, told if is_same else f"{told}, {health.serving_version} serves")


def _drift(health: Health, limits: Thresholds) -> Iterator[Verdict]:
    if health.drifted is not None:
        state = _from(health.drifted, *limits.drifted)
        yield Verdict("drift", state, f"{health.drifted} measures beyond their threshold")


def _run(health: Health, steps: str) -> Run | None:
    return next((run for run in health.runs if run.steps == steps), None)


def _ending(run: Run, limits: Thresholds, now: datetime) -> State:
    """Return a warning if the newest run of a kind ended badly, or does not end."""
    hangs = run.state == RUNNING and now - run.started_at > timedelta(hours=limits.run_hours)
    return State.WARNING if hangs or run.state in NOT_WELL else State.OK


def _why(run: Run | None) -> str:
    if run is None or run.state == DONE:
        return ""
    why = f": {run.message.splitlines()[0]}" if run.message else ""
    return f"; the newest, of {run.started_at:%Y-%m-%d %H:%M} UTC, is {run.state}{why}"


def _over(age: timedelta, warning_days: float, critical_days: float) -> State:
    return _from(age / timedelta(days=1), warning_days, critical_days)


def _from(value: float, warning: float, critical: float) -> State:
    if value >= critical:
        return State.CRITICAL
    return State.WARNING if value >= warning else State.OK


def _days(age: timedelta) -> str:
    return f"{age / timedelta(days=1):.1f} days"


def utc_now() -> datetime:
    """Return the current time in UTC, without a time zone, like the database's timestamps."""
    return datetime.now(UTC).replace(tzinfo=None)
