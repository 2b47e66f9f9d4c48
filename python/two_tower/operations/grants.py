"""Who may call and read what of ours: the var serving_roles applied, and shown."""

from __future__ import annotations

from dataclasses import dataclass

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database import dbt
from two_tower.database.warehouse import open_warehouse


@dataclass(frozen=True)
class Grant:
    """Whether a role may use a function, table, sequence or schema.

    Attributes:
        role: as the database names it; ``public`` is everybody.
        tier: visitor, user or service; ``None`` of a role that the var serving_roles does not name.
        kind: table (a view too), routine, sequence or schema.
        object: its name, with its schema.
        is_allowed: by whatever grant or membership.
        is_wanted: by the role's tier.
        undo: the statement that takes away what no tier gives, where one does.
    """

    role: str
    tier: str | None
    kind: str
    object: str
    is_allowed: bool
    is_wanted: bool
    undo: str | None


def applied(settings: Settings) -> list[Grant]:
    """Give the roles of the var serving_roles what their tiers say and nothing else; return it.

    Raises:
        InputError: the target is DuckDB, or the var names something else than roles and tiers.
        NotEnoughDataError: nothing has been built yet.
    """
    shown(settings)
    dbt.run(settings, "run-operation", "apply_serving_roles")
    return shown(settings)


def shown(settings: Settings) -> list[Grant]:
    """Return what the roles of the last build may do, and what others hold of ours.

    Raises:
        InputError: the target is DuckDB.
        NotEnoughDataError: nothing has been built yet.
    """
    if settings.target == "duckdb":
        raise InputError("DuckDB has no roles", "name a Postgres in TWO_TOWER_TARGET")
    with open_warehouse(settings) as warehouse:
        found = "select to_regprocedure('two_tower.app_grants()') is not null as is_there"
        if not warehouse.fetch(found)[0]["is_there"]:
            raise NotEnoughDataError("there is nothing to grant yet", "dbt build makes it")
        return [Grant(**row) for row in warehouse.fetch("select * from two_tower.app_grants()")]
