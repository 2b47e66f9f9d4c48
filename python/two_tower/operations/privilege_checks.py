"""The doctor's checks of the role's privileges, with the grants that are missing."""

from __future__ import annotations

import re
from typing import Any

from two_tower.core import checks
from two_tower.core.checks import Check
from two_tower.core.settings import Settings
from two_tower.database import ddl
from two_tower.database.warehouse import PostgresWarehouse
from two_tower.operations import run_history, setup, step_cache

CATALOGUE = ("videos", "tags", "video_tags", "performers", "video_performers")
SERVED = (
    "public.user_embeddings",
    "public.user_embeddings_previous",
    "public.video_embeddings",
    "public.video_embeddings_previous",
)
FUNCTIONS = (
    "public.recommend_videos",
    "public.similar_videos",
    "public.recommend_for_vector",
)

# A row for each schema in which a run creates objects.
SCHEMAS = """
select
    quote_ident(wanted.name) as name,
    n.oid is not null as is_there,
    coalesce(has_schema_privilege(n.oid, 'create'), false) as may_create,
    coalesce(has_schema_privilege(n.oid, 'usage'), false) as may_use
from unnest(string_to_array(?, ',')) as wanted (name)
left join pg_namespace as n on n.nspname = wanted.name
"""

# Objects that a run creates and another role owns; other objects are not looked at.
FOREIGN = """
select
    case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind,
    format('%I.%I', n.nspname, c.relname) as name,
    pg_get_userbyid(c.relowner) as owner
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm') and not pg_has_role(c.relowner, 'usage')
    and n.nspname || '.' || c.relname = any (string_to_array(?, ','))
union all
select
    'function',
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    pg_get_userbyid(p.proowner)
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where not pg_has_role(p.proowner, 'usage')
    and n.nspname || '.' || p.proname = any (string_to_array(?, ','))
order by 1, 2
"""

# Whom the app's functions run as; no row before there are any.
OWNERS = """
select distinct pg_get_userbyid(p.proowner) as owner
from pg_proc as p
where p.pronamespace = to_regnamespace('public') and p.prosecdef
    and p.proname in ('recommend_videos', 'similar_videos', 'recommend_for_vector')
order by 1
"""

# The app's own tables, if they are the catalogue.
CATALOGUE_TABLES = """
select
    format('%I.%I', ?::text, wanted.name) as name,
    c.oid is not null as is_there,
    coalesce(has_table_privilege(c.oid, 'select'), false) as may_read,
    coalesce(row_security_active(c.oid), false) as is_filtered,
    (
        select min(case pg_get_expr(p.polqual, p.polrelid) when 'true' then 'all' else 'some' end)
        from pg_policy as p
        where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
            and exists (
                select from unnest(p.polroles) as r (oid)
                where case when r.oid = 0 then true else pg_has_role(r.oid, 'usage') end
            )
    ) as shown
from unnest(string_to_array(?, ',')) as wanted (name)
left join pg_namespace as n on n.nspname = ?
left join pg_class as c on c.relnamespace = n.oid and c.relname = wanted.name
"""


def checks_of(
    settings: Settings, facts: dict[str, Any], warehouse: PostgresWarehouse
) -> list[Check]:
    """Return the checks of privileges.

    Args:
        settings: the project.
        facts: a row of :data:`database_checks.FACTS`.
        warehouse: open.
    """
    return [
        _privileges(settings, facts, warehouse),
        _owners(settings, facts, warehouse),
        *_catalogue(settings, facts, warehouse),
        *_serving(settings, facts, warehouse),
    ]


def _privileges(settings: Settings, facts: dict[str, Any], warehouse: PostgresWarehouse) -> Check:
    role, database = facts["role"], facts["database"]
    lacks: list[str] = []
    fixes: list[str] = []
    schemas = warehouse.fetch(SCHEMAS, (",".join([*_made(settings), "public"]),))
    missing = [row["name"] for row in schemas if not row["is_there"]]
    if missing and not facts["may_create"]:
        lacks.append(f"create the schema {' and '.join(missing)}")
        fixes.append(f"grant create on database {database} to {role}")
    if not facts["may_make_temporary"]:
        lacks.append("make temporary tables")
        fixes.append(f"grant temporary on database {database} to {role}")
    for row in schemas:
        if row["is_there"] and not (row["may_create"] and row["may_use"]):
            lacks.append(f"create tables in schema {row['name']}")
            fixes.append(f"grant usage, create on schema {row['name']} to {role}")
        elif row["name"] == "public" and not row["is_there"]:
            lacks.append("find the schema public")
            fixes.append(f"create schema public authorization {role}")
    if not lacks:
        return checks.ok("privileges", f"{role} may create what a run makes")
    return checks.failed(
        "privileges", f"{role} cannot {', nor '.join(lacks)}", "; ".join(fixes) + ";"
    )


def _owners(settings: Settings, facts: dict[str, Any], warehouse: PostgresWarehouse) -> Check:
    rows = warehouse.fetch(FOREIGN, [",".join(names) for names in _names(settings)])
    role = facts["role"]
    if not rows:
        return checks.ok("owners", f"what runs made before belongs to {role}")
    first = rows[0]
    owners = ", ".join(sorted({row["owner"] for row in rows}))
    return checks.failed(
        "owners",
        f"{first['kind']} {first['name']}"
        + (f" and {len(rows) - 1} more belong" if len(rows) > 1 else " belongs")
        + f" to {owners}: {role} cannot replace them",
        " ".join(f"alter {row['kind']} {row['name']} owner to {role};" for row in rows),
    )


def _catalogue(
    settings: Settings, facts: dict[str, Any], warehouse: PostgresWarehouse
) -> list[Check]:
    """Return whether the app's own tables can be read, where they are the catalogue."""
    schema, role = setup.catalogue_schema(settings), facts["role"]
    if schema == "raw":
        return []
    rows = warehouse.fetch(CATALOGUE_TABLES, (schema, ",".join(CATALOGUE), schema))
    missing = [row["name"] for row in rows if not row["is_there"]]
    if missing:
        return [
            checks.failed(
                "catalogue",
                f"there is no table {', '.join(missing)}",
                "fix the var catalogue_schema in dbt_project.yml, or map your tables in"
                " models/staging",
            )
        ]
    may_use = warehouse.fetch(SCHEMAS, (schema,))[0]["may_use"]
    unread = [row["name"] for row in rows if not (row["may_read"] and may_use)]
    if unread:
        fix = f"grant usage on schema {schema} to {role}"
        fix += f"; grant select on {', '.join(row['name'] for row in rows)} to {role};"
        return [checks.failed("catalogue", f"{role} may not read {', '.join(unread)}", fix)]
    hidden = [row for row in rows if row["is_filtered"] and row["shown"] != "all"]
    if hidden:
        names = [row["name"] for row in hidden]
        fix = " ".join(
            f"create policy {role} on {name} for select to {role} using (true);" for name in names
        )
        found = f"row-level security shows {role} {{}} rows of {', '.join(names)}"
        if all(row["shown"] for row in hidden):
            return [checks.warning("catalogue", found.format("some"), fix)]
        return [checks.failed("catalogue", found.format("no"), fix)]
    return [checks.ok("catalogue", f"{role} reads the tables of schema {schema}")]


def _serving(
    settings: Settings, facts: dict[str, Any], warehouse: PostgresWarehouse
) -> list[Check]:
    """Return whether the roles of the app are there, and whom its functions run as."""
    named = [str(role) for role in setup.project_vars(settings).get("serving_roles") or ()]
    missing = [
        row["name"]
        for row in warehouse.fetch(
            "select wanted.name from unnest(?::text[]) as wanted (name)"
            " where not exists (select from pg_roles where rolname = wanted.name) order by 1",
            (named,),
        )
    ]
    found = []
    if missing:
        found.append(
            checks.warning(
                "serving roles",
                f"there is no role {', '.join(missing)}, which the var serving_roles names",
                "; ".join(f'create role "{role}" nologin' for role in missing)
                + "; then two-tower grants",
            )
        )
    owners = [row["owner"] for row in warehouse.fetch(OWNERS)]
    if owners == ["two_tower_api"]:
        found.append(checks.ok("functions", "the app's functions run as two_tower_api"))
    elif owners:
        found.append(
            Check(
                "functions",
                "ok",
                f"the app's functions run as {', '.join(owners)}, with all its rights",
                "for a role that may only read, type what docs/your-postgres.md says, then"
                " two-tower grants",
            )
        )
    return found


def _made(settings: Settings) -> list[str]:
    """Return the schemas in which a run creates objects, besides public."""
    return list(dict.fromkeys(["raw", "two_tower", settings.schema_name]))


def _names(settings: Settings) -> tuple[set[str], set[str]]:
    """Return the tables and views, and the functions, that runs create, with their schemas."""
    models = [path.stem for path in (settings.project_dir / "models").rglob("*.sql")]
    relations = {f"{schema}.{name}" for schema in _made(settings) for name in models}
    written = (ddl.RAW, ddl.LANDING, ddl.EVALUATION)
    for statement in (*written, run_history.TABLE, step_cache.TABLE):
        relations |= set(re.findall(r"create table if not exists (\w+\.\w+)", statement))
    functions = set(FUNCTIONS)
    for path in (settings.project_dir / "sql").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        functions |= set(re.findall(r"create or replace function (two_tower\.\w+)", text))
    return relations | set(SERVED), functions
