"""People who asked to be forgotten: known by a salted hash, so that no file brings them back.

``raw.forgotten_users`` holds ``sha256(salt || ':' || user_id)``. It cannot be read back into names;
who has the table and guesses an id can see that it was forgotten, which is what a load has to do.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from two_tower.data import text_values
from two_tower.database import ddl
from two_tower.database.warehouse import Warehouse

REASON = "the reviewer asked to be forgotten"
# The column of each table of the catalogue that holds a user's id.
USER_COLUMNS = {"users": "id", "user_categories": "user_id"}


def record(warehouse: Warehouse, user_id: str) -> datetime:
    """Record that a person is forgotten; return when that was first recorded, UTC."""
    ddl.ensure_raw(warehouse)
    salt = _salt(warehouse) or secrets.token_hex(16)
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    warehouse.execute(
        "insert into raw.forgotten_users (user_hash, salt, forgotten_at)"
        f" select {_sha256(warehouse)}, salt, cast(? as timestamp)"
        " from (select cast(? as text) as salt, cast(? as text) as id) as given"
        " on conflict (user_hash) do nothing",
        (now, salt, user_id),
    )
    rows = warehouse.fetch(
        "select forgotten_at from raw.forgotten_users as f"
        f" where user_hash = (select {_sha256(warehouse)} from"
        "  (select cast(? as text) as salt, cast(? as text) as id) as given)",
        (salt, user_id),
    )
    moment: datetime = rows[0]["forgotten_at"]
    return moment


def recognise(warehouse: Warehouse, respelled: Mapping[str, str]) -> None:
    """Record forgotten people also under their normalised ids.

    Ids were once stored as written: people forgotten then are recorded by the hash of an id that
    may hold invisible characters.

    Args:
        warehouse: in the caller's transaction.
        respelled: ids as a file writes them -> as they are stored.
    """
    salt = _salt(warehouse)
    if salt is None or not respelled:
        return
    rows = warehouse.fetch("select user_hash from raw.forgotten_users")
    known = {row["user_hash"] for row in rows}
    for written, stored in respelled.items():
        if hashlib.sha256(f"{salt}:{written}".encode()).hexdigest() in known:
            record(warehouse, stored)


def withhold_reviews(warehouse: Warehouse, file: str | None = None) -> int:
    """Move the reviews of forgotten people to the rejected rows, without their text.

    Rejected rows that name a forgotten person in one of their fields lose their text.

    Args:
        warehouse: in the caller's transaction.
        file: only the rows of this file; by default all.

    Returns:
        the number of reviews moved.
    """
    salt = _salt(warehouse)
    if salt is None:
        return 0
    of_file, params = (" and file = ?", (file,)) if file is not None else ("", ())
    mine = f"{_is_forgotten(warehouse, salt, 'reviewer_id')}{of_file}"
    moved = warehouse.fetch(f"select count(*) as n from raw.reviews where {mine}", params)
    warehouse.execute(
        "insert into raw.rejected_reviews (file, line, reason, row_text)"
        f" select file, line, '{REASON}', '' from raw.reviews where {mine}",
        params,
    )
    warehouse.execute(f"delete from raw.reviews where {mine}", params)
    field = f"trim(both '\"' from {text_values.sql(warehouse.dialect, 'field')})"
    warehouse.execute(
        "update raw.rejected_reviews set row_text = '' where row_text <> '' and exists ("
        " select 1 from (select unnest(string_to_array(row_text, ',')) as field) as fields"
        f" where {_is_forgotten(warehouse, salt, field)}){of_file}",
        params,
    )
    return int(moved[0]["n"])


def withhold_users(warehouse: Warehouse) -> None:
    """Remove forgotten people from the catalogue's tables, in the caller's transaction."""
    salt = _salt(warehouse)
    if salt is not None:
        for table, column in USER_COLUMNS.items():
            mine = _is_forgotten(warehouse, salt, f"raw.{table}.{column}")
            warehouse.execute(f"delete from raw.{table} where {mine}")


def _is_forgotten(warehouse: Warehouse, salt: str, user_id: str) -> str:
    """Return the SQL condition that an expression is the id of a forgotten person."""
    return (
        f"(select {_sha256(warehouse)} from (select '{salt}' as salt,"
        f" {text_values.sql(warehouse.dialect, user_id)} as id) as given)"
        " in (select user_hash from raw.forgotten_users)"
    )


def _salt(warehouse: Warehouse) -> str | None:
    """Return the salt of this database; None before the first person was forgotten."""
    rows = warehouse.fetch("select max(salt) as salt from raw.forgotten_users")
    return rows[0]["salt"] if rows else None


def _sha256(warehouse: Warehouse) -> str:
    """Return the hash of the columns ``salt`` and ``id``, as in macros/cross_db/hashing.sql."""
    if warehouse.dialect == "postgres":
        return "encode(sha256(convert_to(salt || ':' || id, 'UTF8')), 'hex')"
    return "sha256(salt || ':' || id)"
