"""A check of the doctor: its name, its state, what was found, and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from two_tower.core.errors import FullError, InputError, TwoTowerError, UnavailableError

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what was checked.
        state: a run would stop at ``failed``, and not at ``warning``.
        found: what was found.
        fix: what to type or to set; empty if nothing is wrong.
        kind: the error that a run raises: InputError must be fixed, UnavailableError may pass.
    """

    name: str
    state: State
    found: str
    fix: str = ""
    kind: type[TwoTowerError] = InputError

    def as_dict(self) -> dict[str, str]:
        """Return the check as plain JSON."""
        return {"name": self.name, "state": self.state, "found": self.found, "fix": self.fix}


def ok(name: str, found: str) -> Check:
    """Return a check that passed."""
    return Check(name, "ok", found)


def warning(name: str, found: str, fix: str) -> Check:
    """Return a check of something that works now, and may not later or for everybody."""
    return Check(name, "warning", found, fix)


def failed(name: str, found: str, fix: str) -> Check:
    """Return a failed check: a run needs this to be fixed."""
    return Check(name, "failed", found, fix)


def of_error(name: str, error: TwoTowerError) -> Check:
    """Return the failed check of an error."""
    passes = isinstance(error, UnavailableError | FullError)
    return Check(name, "failed", str(error), error.hint, type(error) if passes else InputError)


def refusal(found: Sequence[Check]) -> TwoTowerError | None:
    """Return one error for all failed checks, each with its fix; None if none failed.

    The error is an UnavailableError, which is retried, only if every failure may pass by itself.
    """
    wrong = [check for check in found if check.state == "failed"]
    if not wrong:
        return None
    kinds = {check.kind for check in wrong}
    kind = next((k for k in (InputError, FullError) if k in kinds), UnavailableError)
    if len(wrong) == 1:
        return kind(wrong[0].found, wrong[0].fix)
    lines = [f"{len(wrong)} things have to be fixed:"]
    lines += [f"{check.name}: {check.found}\n  → {check.fix}" for check in wrong]
    return kind(
        "\n".join(lines), "fix them and run this again; two-tower doctor repeats the checks"
    )
