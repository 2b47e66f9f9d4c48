"""What is tried again, and for how long."""

from __future__ import annotations

import psycopg
import pytest

from two_tower.core.errors import (
    BusyError,
    FullError,
    GateError,
    InputError,
    NotEnoughDataError,
    TwoTowerError,
    UnavailableError,
)
from two_tower.database import database_errors
from two_tower.operations import retries


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


PASSING = [
    psycopg.errors.lookup(code)("…")
    for code in ("57P01", "57P02", "57P03", "08006", "08001", "40001", "40P01", "55P03", "53300")
] + [
    psycopg.OperationalError("server closed the connection unexpectedly"),
    UnavailableError("no answer"),
    caused(RuntimeError("in between"), psycopg.errors.AdminShutdown("…")),
]
LASTING = [
    psycopg.errors.lookup(code)("…") for code in ("42P01", "23505", "53100", "57014", "28P01")
] + [
    kind("…") for kind in (BusyError, FullError, GateError, InputError, NotEnoughDataError)
] + [
    caused(InputError("wrong password"), psycopg.OperationalError("authentication failed")),
    ValueError("a defect"),
    psycopg.ProgrammingError("a defect"),
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_worth_another_try(error: Exception) -> None:
    assert retries.is_worth_retrying(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts_is_not(error: Exception) -> None:
    assert not retries.is_worth_retrying(error)


class Failing:
    """A function that fails so many times, and then returns how often it was called."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, on a clock that they alone move."""
    made: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", made.append)
    monkeypatch.setattr(retries.time, "monotonic", lambda: sum(made))
    return made


def test_pauses_double_up_to_half_a_minute(pauses: list[float]) -> None:
    assert retries.call("load", Failing(UnavailableError("no answer"), 8), 1000) == 9
    expected = [1, 2, 4, 8, 16, 30, 30, 30]
    for made, pause in zip(pauses, expected, strict=True):
        assert 0.75 * pause <= made <= 1.25 * pause


def test_the_last_error_is_raised_when_the_time_is_over(pauses: list[float]) -> None:
    failing = Failing(UnavailableError("no answer"), 10_000)
    with pytest.raises(UnavailableError, match="no answer"):
        retries.call("load", failing, 60)
    longest = 1.25 * retries.LONGEST_DELAY  # one that would have gone beyond is not made
    assert 60 - longest < sum(pauses) <= 60


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_lasting_error_is_raised_at_once(pauses: list[float], seconds: float) -> None:
    failing = Failing(GateError("refused"), 10_000)
    with pytest.raises(GateError):
        retries.call("load", failing, seconds)
    assert (failing.calls, pauses) == (1, [])


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (None, UnavailableError, "the database went away"),
        ("08006", UnavailableError, "the database went away"),
        ("57P01", UnavailableError, "the database went away"),
        ("57P03", UnavailableError, "the database went away"),
        ("40P01", UnavailableError, "in conflict with another session"),
        ("53300", UnavailableError, "the server has no connection left"),
        ("55P03", UnavailableError, "in conflict with another session"),
        ("57014", UnavailableError, "the server ended the statement"),
        ("53100", FullError, "the database's disk is full"),
        ("53200", UnavailableError, "the server ended the statement"),
        ("54000", InputError, "the server cannot do this"),
        ("54011", InputError, "the server cannot do this"),
        ("58030", UnavailableError, "the server's own machine fails it"),
    ],
)
def test_what_the_database_says_decides_what_a_person_is_told(
    pauses: list[float], code: str | None, kind: type[TwoTowerError], message: str
) -> None:
    error = psycopg.errors.lookup(code) if code else psycopg.OperationalError
    assert issubclass(error, psycopg.OperationalError)
    with pytest.raises(kind, match=f"embed: {message}: it says why") as caught:
        retries.call("embed", Failing(error("it says why"), 10_000), 0)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("42501", InputError),
        ("25006", InputError),
        ("58P01", InputError),
        ("22021", InputError),
        ("22P05", InputError),
        ("0A000", InputError),
        ("28P01", InputError),
        ("25P03", UnavailableError),
        ("40001", UnavailableError),
        ("57P05", UnavailableError),
        ("XX001", UnavailableError),
    ],
)
def test_a_server_that_speaks_another_language_is_understood_by_its_codes(
    code: str, kind: type[TwoTowerError]
) -> None:
    error = psycopg.errors.lookup(code)("es geht nicht")
    assert type(database_errors.explained(error)) is kind


def test_shared_memory_that_is_too_small_is_no_full_disk(pauses: list[float]) -> None:
    said = 'could not resize shared memory segment "/PostgreSQL.1" to 67108864 bytes'
    full = psycopg.errors.DiskFull(f"{said}: No space left on device")
    with pytest.raises(InputError, match="embed: the server's shared memory is too small") as told:
        retries.call("embed", Failing(full, 10_000), 300)
    assert "--shm-size" in told.value.hint
    assert pauses == []

    shown = database_errors.shown_by_dbt(f"  Database Error in model x\n  {full}\n")
    assert shown is not None
    assert shown[0].kind is InputError
