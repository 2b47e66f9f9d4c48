"""The calls that HTTP offers: the app's functions, as ``sql/functions`` declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from two_tower.core.errors import InputError

Tier = Literal["visitor", "user", "service"]
TIERS: tuple[Tier, ...] = ("visitor", "user", "service")

_TIER = re.compile(r"\('public\.(\w+)', '(\w+)'\)")
_DECLARED = re.compile(
    r"create or replace function public\.(?P<name>\w+)\((?P<arguments>.*?)\)\s*"
    r"returns (?:table \((?P<columns>.*?)\)|\w+)\s*language \w+ (?P<volatility>\w+)",
    re.DOTALL,
)
_ARGUMENT = re.compile(r"p_(?P<name>\w+) (?P<type>.+?)(?: default (?P<default>.+))?", re.DOTALL)


@dataclass(frozen=True)
class Argument:
    """An argument of a function, by its name without ``p_``.

    Attributes:
        type: of Postgres, such as ``uuid[]``.
        default: as SQL has it; None where a call has to name it.
    """

    name: str
    type: str
    default: str | None

    @property
    def is_vector(self) -> bool:
        """Whether it is a vector: its type is in a schema of the database's choice."""
        return self.type.endswith("halfvec")

    @property
    def is_list(self) -> bool:
        """Whether it has several values."""
        return self.type.endswith("[]") or self.is_vector


@dataclass(frozen=True)
class Function:
    """A function of schema ``public``.

    Attributes:
        tier: who may call it.
        about: what the comment above it says.
        columns: name and type of the rows' columns; none where it returns one number.
        writes: it records something.
    """

    name: str
    tier: Tier
    about: str
    arguments: tuple[Argument, ...]
    columns: tuple[tuple[str, str], ...]
    writes: bool

    def is_optional(self, argument: Argument) -> bool:
        """Return whether a call may leave an argument out. By default the signed-in user asks."""
        return argument.default is not None or (
            argument.name == "user_id" and self.tier != "service"
        )


def read_functions(project_dir: Path) -> list[Function]:
    """Return the functions that a tier may call, in the order of ``app_functions.sql``.

    Raises:
        InputError: the folder has no such files, or one of them cannot be read.
    """
    folder = project_dir / "sql" / "functions"
    try:
        tiers = _TIER.findall((folder / "app_functions.sql").read_text(encoding="utf-8"))
        return [
            _read(folder / f"{name}.sql", cast(Tier, tier)) for name, tier in tiers if tier in TIERS
        ]
    except OSError as error:
        raise InputError(
            f"{error.filename}: {error.strerror}",
            "run two-tower inside a whole clone of the project",
        ) from None


def _read(path: Path, tier: Tier) -> Function:
    text = path.read_text(encoding="utf-8")
    found = _DECLARED.search(text)
    if found is None or found["name"] != path.stem:
        raise InputError(f"{path}: no function public.{path.stem} is declared as expected")
    comment = re.match(r"(?:--.*\n)+", text)
    about = re.sub(r"^-- ?", "", comment[0], flags=re.MULTILINE) if comment else ""
    columns = [column.split(maxsplit=1) for column in _parts(found["columns"] or "")]
    return Function(
        name=path.stem,
        tier=tier,
        about=re.sub(r"\bp_(?=\w)", "", " ".join(about.split())),
        arguments=tuple(_argument(path, part) for part in _parts(found["arguments"])),
        columns=tuple((name, kind) for name, kind in columns),
        writes=found["volatility"] == "volatile",
    )


def _parts(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part for part in map(str.strip, text.split(",")) if part]


def _argument(path: Path, text: str) -> Argument:
    found = _ARGUMENT.fullmatch(text)
    if found is None:
        raise InputError(f"{path}: the argument {text!r} is not declared as expected")
    return Argument(found["name"], found["type"], found["default"])
