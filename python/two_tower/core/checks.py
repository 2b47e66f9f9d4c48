"""A check of the doctor: what was looked at, how it is, and what to type where it is wrong."""

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
        name: what was looked at.
        state: a warning is to be known; what failed keeps a run from its end.
        found: how it is.
        fix: what to type or to set, where something is wrong.
        kind: the error of a run that meets it: what its owner has to fix, or what may pass.
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
    """Return a check of what is as it should be."""
    return Check(name, "ok", found)


def warning(name: str, found: str, fix: str) -> Check:
    """Return a check of what works, and not for ever or not for all."""
    return Check(name, "warning", found, fix)


def failed(name: str, found: str, fix: str) -> Check:
    """Return a check of what its owner has to fix first."""
    return Check(name, "failed", found, fix)


def of_error(name: str, error: TwoTowerError) -> Check:
    """Return the check that ended in an error."""
    passes = isinstance(error, UnavailableError | FullError)
    return Check(name, "failed", str(error), error.hint, type(error) if passes else InputError)


def refusal(found: Sequence[Check]) -> TwoTowerError | None:
    """Return the error that names every check that failed with its fix; None where none did.

    It is worth another try only where all that failed may pass by itself.
    """
    wrong = [check for check in found if check.state == "failed"]
    if not wrong:
        return None
    kinds = {check.kind for check in wrong}
    kind = next((k for k in (InputError, FullError) if k in kinds), UnavailableError)
    if len(wrong) == 1:
        return kind(wrong[0].found, wrong[0].fix)
    lines = [f"{len(wrong)} things are in the way:"]
    lines += [f"{check.name}: {check.found}\n  → {check.fix}" for check in wrong]
    return kind("\n".join(lines), "fix them and run this again; two-tower doctor looks again")
