"""Write src/database.ts: the types of what an app may call and read, asked of a database.

    .venv/bin/python clients/typescript/generate_types.py DATABASE_URL

Names, types and defaults are those of pg_proc and pg_attribute. The texts that an argument may be,
and the keys of a filter, are what the functions name when they refuse a wrong one. What no database
tells is which columns of a function's rows may be null: NULLABLE has them.
"""

from __future__ import annotations

import re
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg

TARGET = Path(__file__).resolve().parent / "src" / "database.ts"
TABLES = ("user_embeddings", "video_embeddings")
# A video may lack what a page shows; there is no release at first; not every share is a video's.
NULLABLE = {
    *("release_id", "title", "thumbnail_url", "product_url", "because_title", "token"),
    "explain_recommendation.video_id",
    "explain_recommendation.p_user_id",  # null: who has signed in
}
TYPES = {
    "boolean": "boolean",
    **dict.fromkeys(("smallint", "integer", "bigint", "real", "double precision"), "number"),
    # As PostgREST writes them.
    **dict.fromkeys(("text", "uuid", "date", "halfvec", "vector"), "string"),
    "jsonb": "Json",
}
# Of an argument or a column, the type that says more than its text or JSON.
NAMED = {
    "p_filter": "VideoFilter",
    "p_kind": "EventKind",
    "p_source": "Source",
    "p_window": "PopularityWindow",
    "source": "Source",
}
FUNCTIONS = """
select p.proname, p.proretset, format_type(p.prorettype, null), p.pronargs - p.pronargdefaults,
    p.proargnames, coalesce(p.proargmodes::text[], array_fill('i'::text, array[p.pronargs])),
    array(select format_type(t, null)
          from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as a (t, n)
          order by n)
from pg_proc as p
where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
    and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
order by p.proname collate "C"
"""
COLUMNS = """
select attname, format_type(atttypid, null), attnotnull
from pg_attribute
where attrelid = ('public.' || %s)::regclass and attnum > 0 and not attisdropped
order by attnum
"""
HEADER = """\
// Written by generate_types.py from the functions of a database: do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

"""

Connection = psycopg.Connection[Any]


def database_ts(connection: Connection) -> str:
    """Return the text of src/database.ts.

    Raises:
        SystemExit: a function has a type or refuses in words that this program does not know.
    """
    functions = "".join(_function(*row) for row in connection.execute(FUNCTIONS).fetchall())
    if not functions:
        raise SystemExit("schema public has no function: run dbt build on this database first")
    tables = "".join(_table(name, connection.execute(COLUMNS, [name])) for name in TABLES)
    return (
        HEADER
        + _choices(connection)
        + _filter(connection)
        + "export type Database = {\n  public: {\n"
        + f"    Tables: {{\n{tables}    }};\n"
        + "    Views: Record<never, never>;\n"
        + f"    Functions: {{\n{functions}    }};\n  }};\n}};\n"
    )


def _function(
    name: str,
    is_set: bool,
    returns: str,
    required: int,
    names: list[str],
    modes: list[str],
    types: list[str],
) -> str:
    fields = list(zip(names, modes, types, strict=True))
    given = [(field, kind) for field, mode, kind in fields if mode == "i"]
    arguments = "".join(
        f"          {field}{'' if place < required else '?'}: {_argument(name, field, kind)};\n"
        for place, (field, kind) in enumerate(given)
    )
    columns = "".join(
        f"          {field}: {_type(name, field, kind)};\n"
        for field, mode, kind in fields
        if mode == "t"
    )
    rows = f"{{\n{columns}        }}" if columns else _type(name, "", returns)
    return (
        f"      {name}: {{\n        Args: {{\n{arguments}        }};\n"
        f"        Returns: {rows}{'[]' if is_set else ''};\n      }};\n"
    )


def _table(name: str, columns: Any) -> str:
    fields = "".join(
        f"          {column}: {_base(kind)}{'' if not_null else ' | null'};\n"
        for column, kind, not_null in columns
    )
    return (
        f"      {name}: {{\n        Row: {{\n{fields}        }};\n"
        "        Insert: never;\n        Update: never;\n        Relationships: [];\n      };\n"
    )


def _argument(function: str, field: str, kind: str) -> str:
    # A vector may be sent as JSON too.
    return "readonly number[]" if "halfvec" in kind else _type(function, field, kind)


def _type(function: str, field: str, kind: str) -> str:
    is_nullable = bool(NULLABLE & {field, f"{function}.{field}"})
    return (NAMED.get(field) or _base(kind)) + (" | null" if is_nullable else "")


def _base(kind: str) -> str:
    bare = kind.removesuffix("[]").rpartition(".")[2]
    if bare not in TYPES:
        raise SystemExit(f"type {kind} is new: add it to TYPES in {Path(__file__).name}")
    return f"readonly {TYPES[bare]}[]" if kind.endswith("[]") else TYPES[bare]


def _choices(connection: Connection) -> str:
    """The texts that an argument may be, from the message that refuses another."""
    video = f"'{uuid.UUID(int=0)}'"
    calls = {
        "EventKind": f"record_event({video}, '?', p_user_id => 'nobody')",
        "PopularityWindow": "popular_videos('?')",
        "Source": f"record_impressions(array[{video}]::uuid[], 'nobody', p_source => '?')",
    }
    written = ""
    for name, call in calls.items():
        message, _ = _refusal(connection, f"select * from public.{call}")
        listed = re.split(r", | or ", message.partition("it is ")[2].removeprefix("one of "))
        if not all(re.fullmatch(r"[a-z]+", choice) for choice in listed):
            raise SystemExit(f"{call} refuses in other words: {message}")
        union = " | ".join(f'"{choice}"' for choice in listed)
        written += f"export type {name} = {union};\n"
    return written


def _filter(connection: Connection) -> str:
    """The keys of a filter, from the hint about an unknown one, and what each takes."""
    call = "select * from public.new_videos(p_filter => jsonb_build_object(%s::text, %s::boolean))"
    _, hint = _refusal(connection, call, ["?", True])
    keys = sorted(re.findall(r"\w+", hint.removeprefix("The keys are ")))
    written = ""
    for key in keys:
        message, _ = _refusal(connection, call, [key, True])
        takes = {
            "neither a text nor a list": "string | readonly string[]",
            "is no number": "number",
            "is no whole number": "number",
            "is no day": "string",
        }
        (kind,) = {kind for words, kind in takes.items() if words in message} or {""}
        if not kind:
            raise SystemExit(f"key {key} of a filter takes something new: {message}")
        written += f"  {key}?: {kind};\n"
    return f"\nexport type VideoFilter = {{\n{written}}};\n\n"


def _refusal(connection: Connection, call: str, values: list[Any] | None = None) -> tuple[str, str]:
    """Return the message and the hint with which a call is refused."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(call, values)
    except psycopg.errors.InvalidParameterValue as refused:
        return refused.diag.message_primary or "", refused.diag.message_hint or ""
    raise SystemExit(f"{call} is not refused")


def main() -> None:
    """Write the file."""
    if len(sys.argv) != 2:
        raise SystemExit((__doc__ or "").strip())
    try:
        with psycopg.connect(sys.argv[1]) as connection:
            written = database_ts(connection)
    except psycopg.Error as error:
        raise SystemExit(f"the database did not answer: {error}") from None
    TARGET.write_text(written, encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
