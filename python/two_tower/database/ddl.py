"""The tables that Python writes and dbt reads as sources; the same statements on both engines."""

from two_tower.core.train_config import DIM
from two_tower.database.warehouse import Warehouse

RAW = """
create table if not exists raw.review_files (
    file text primary key, sha256 text not null, encoding text not null,
    rows_read bigint not null, rows_loaded bigint not null, rows_rejected bigint not null,
    loaded_at timestamp not null, rules integer default 1
);
create table if not exists raw.reviews (
    file text not null, line bigint not null, product_url text not null,
    reviewer_id text not null, stars double precision not null, reviewed_at timestamp
);
create table if not exists raw.rejected_reviews (
    file text not null, line bigint not null, reason text not null, row_text text not null
);
create table if not exists raw.catalogue_files (
    file text primary key, sha256 text not null, rows_loaded bigint not null,
    loaded_at timestamp not null, rules integer default 1
);
create table if not exists raw.videos (
    id uuid primary key, title text, thumbnail_url text, product_url text, source text,
    maker text, label text, series text, price double precision, released_on date
);
create table if not exists raw.tags (id text primary key, name text);
create table if not exists raw.video_tags (video_id uuid not null, tag_id text not null);
create table if not exists raw.performers (id text primary key, name text);
create table if not exists raw.video_performers (
    video_id uuid not null, performer_id text not null
);
create table if not exists raw.users (id text primary key, signed_up_at timestamp);
create table if not exists raw.user_categories (
    user_id text not null, category text not null, value text not null
);
create index if not exists user_categories_by_user on raw.user_categories (user_id);
create table if not exists raw.forgotten_users (
    user_hash text primary key, salt text not null, forgotten_at timestamp not null, removed text
);
"""

LANDING = """
create table if not exists two_tower.user_embeddings_landing (
    user_id text not null, embedding {vector} not null, version text not null
);
create table if not exists two_tower.video_embeddings_landing (
    video_id uuid not null, embedding {vector} not null, version text not null
);
"""

# What Postgres encodes a person with: the rows of the user tower's weights, each block's kind, and
# the moment of the features that a version's vectors are of (no later than the oldest of them).
SLOTS = """
create table if not exists two_tower.slot_blocks (
    version text not null, feature_id smallint not null, feature text not null, kind text not null,
    vocabulary text, width integer not null, shrinkage real, layout_hash text not null,
    primary key (version, feature_id)
);
create table if not exists two_tower.slot_vectors (
    version text not null, feature_id smallint not null, index integer not null,
    embedding {vector} not null, primary key (version, feature_id, index)
);
create table if not exists two_tower.embedded_as_of (
    version text primary key, as_of timestamp not null
);
"""

EVALUATION = """
create table if not exists two_tower.evaluation_runs (
    run_id text primary key, evaluated_at timestamp not null, split text not null,
    layout_hash text not null, users bigint not null, videos bigint not null, config text not null
);
create table if not exists two_tower.evaluation_metrics (
    run_id text not null, model text not null, slice text not null, metric text not null,
    value double precision, users bigint not null
);
alter table two_tower.evaluation_runs add column if not exists protocol text;
alter table two_tower.evaluation_runs add column if not exists split_seed text;
alter table two_tower.evaluation_metrics add column if not exists lower double precision;
alter table two_tower.evaluation_metrics add column if not exists upper double precision;
alter table two_tower.evaluation_runs add column if not exists serving_version text;
alter table two_tower.evaluation_runs add column if not exists serving_note text;
alter table two_tower.evaluation_runs add column if not exists serving_state text;
create table if not exists two_tower.evaluation_comparisons (
    run_id text not null, baseline text not null, baseline_version text, slice text not null,
    metric text not null, value double precision not null, baseline_value double precision not null,
    difference double precision not null, lower double precision, upper double precision,
    users bigint not null
);
create table if not exists two_tower.evaluation_training (
    run_id text not null, user_id text not null, video_ids uuid[] not null
);
create table if not exists two_tower.artifact_checks (
    version text not null, checked_at timestamp not null, check_name text not null,
    value double precision, threshold double precision not null, note text not null
);
"""


def ensure_schema(warehouse: Warehouse, name: str) -> None:
    """Create a schema that is not there yet.

    Checked first: `if not exists` needs the privilege to create schemas even if the schema exists.
    """
    found = warehouse.fetch("select 1 as found from pg_namespace where nspname = ?", (name,))
    if not found:
        warehouse.execute(f"create schema if not exists {name}")


def ensure_raw(warehouse: Warehouse) -> None:
    """Create the raw tables that are not there yet, and the columns that came later."""
    ensure_schema(warehouse, "raw")
    _run(warehouse, RAW)
    for table in ("review_files", "catalogue_files"):
        # Checked first: an `alter table` waits for the table's readers, and blocks new ones.
        if not warehouse.fetch(
            "select 1 as found from information_schema.columns where table_schema = 'raw'"
            " and table_name = ? and column_name = 'rules'",
            (table,),
        ):
            warehouse.execute(f"alter table raw.{table} add column rules integer default 1")


def ensure_evaluation(warehouse: Warehouse) -> None:
    """Create the evaluation tables that are not there yet."""
    ensure_schema(warehouse, "two_tower")
    _run(warehouse, EVALUATION)


def ensure_landing(warehouse: Warehouse) -> None:
    """Create what `embed` writes, where it is not there yet; on Postgres pgvector and slots too."""
    if warehouse.dialect == "postgres":
        warehouse.execute("create extension if not exists vector")
        schema = pgvector_schema(warehouse)
        statements = LANDING.format(vector=f"{schema}.halfvec({DIM})")
        statements += SLOTS.format(vector=f"{schema}.vector({DIM})")
    else:
        statements = LANDING.format(vector=f"float[{DIM}]")
    ensure_schema(warehouse, "two_tower")
    _run(warehouse, statements)


def pgvector_schema(warehouse: Warehouse) -> str:
    """Return the schema that pgvector is installed in, quoted: ``extensions`` on Supabase."""
    row = warehouse.fetch(
        "select quote_ident(n.nspname) as schema from pg_extension e"
        " join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'"
    )[0]
    return str(row["schema"])


def ensure_all(warehouse: Warehouse) -> None:
    """Create every table that Python writes."""
    ensure_raw(warehouse)
    ensure_evaluation(warehouse)
    ensure_landing(warehouse)


def _run(warehouse: Warehouse, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            warehouse.execute(statement)
