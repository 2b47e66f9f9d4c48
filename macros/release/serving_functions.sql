{#
    The app's functions. They read tables by name at each call, so they follow a swap; each is one STABLE statement, so it
    sees one release or the other. Until something is released the tables are empty and popularity answers.
#}
{% macro create_serving_functions() -%}
    {{ return(adapter.dispatch('create_serving_functions')()) }}
{%- endmacro %}

{% macro postgres__create_serving_functions() -%}
    {%- set pgvector = pgvector_schema() -%}
    {%- set are_new = execute and run_query("select to_regproc('public.recommend_videos') is null").columns[0].values()[0] -%}
    {{ load_pgvector() }};
    create table if not exists public.user_embeddings (user_id text primary key, embedding {{ pgvector }}.halfvec(128) not null);
    create table if not exists public.video_embeddings (video_id uuid primary key, embedding {{ pgvector }}.halfvec(128) not null);
    {{ search_function(
        'recommend_videos',
        'p_user_id text, p_limit integer default 20, p_exclude_seen boolean default true',
        'select u.embedding from public.user_embeddings as u where u.user_id = ' ~ text_value('p_user_id'),
        'array(select i.item_id from two_tower.interactions as i where p_exclude_seen and i.user_id = ' ~ text_value('p_user_id') ~ ')',
        pgvector
    ) }}
    {{ search_function(
        'similar_videos',
        'p_video_id uuid, p_limit integer default 20',
        'select v.embedding from public.video_embeddings as v where v.video_id = p_video_id',
        'array_remove(array[p_video_id], null)',
        pgvector
    ) }}
    {{ search_function(
        'recommend_for_vector',
        'p_embedding ' ~ pgvector ~ ".halfvec, p_limit integer default 20, p_exclude uuid[] default '{}'",
        'select p_embedding',
        "coalesce(array_remove(p_exclude, null), '{}')",
        pgvector
    ) }}
    {% if are_new -%}
    {{ withhold_default_privileges() }}
    {%- endif %}
    {{ grant_serving() }}
{%- endmacro %}


{#
    The nearest videos to a vector but for the excluded ones; where there are none, the most popular ones.
    The excluded are filtered after the search, which is asked for that many more: a filter inside would starve an
    approximate scan and cost an exact one a comparison for each row and excluded video. A scan that goes on after the
    probed lists finds nearer videos after farther ones: `+ 0` keeps the planner from taking them to be in order, and from
    stopping early.
#}
{% macro search_function(name, parameters, vector, excluded, pgvector) -%}
create or replace function public.{{ name }}({{ parameters }})
returns table (video_id uuid, score double precision, rank integer)
language sql stable
set search_path = ''
set jit = off
set ivfflat.iterative_scan = 'relaxed_order'
as $$
with query as materialized (
    select ({{ vector }}) as embedding, {{ excluded }} as excluded, greatest(coalesce(p_limit, 20), 0) as wanted
),

nearest as materialized (
    select v.video_id, v.embedding operator({{ pgvector }}.<=>) (select query.embedding from query) as distance
    from public.video_embeddings as v
    where (select query.embedding is not null from query)
    order by v.embedding operator({{ pgvector }}.<=>) (select query.embedding from query)
    limit (select {{ taken_for('query.wanted') }} + cardinality(query.excluded) from query)
),

personal as materialized (
    select nearest.video_id, 1 - nearest.distance as score
    from nearest
    where nearest.video_id <> all ((select query.excluded from query)::uuid[])
    order by nearest.distance + 0, nearest.video_id
    limit (select query.wanted from query)
),

popular as (
    select p.video_id, p.score
    from two_tower.popularity as p
    where not exists (select from personal)
        and (
            p.video_id <> all ((select query.excluded from query)::uuid[])
            or not exists (
                select from two_tower.popularity as other
                where other.video_id <> all ((select query.excluded from query)::uuid[])
            )
        )
    order by p.popularity_rank
    limit (select query.wanted from query)
)

select found.video_id, found.score, row_number() over (order by found.score desc, found.video_id)::integer as rank
from (
    select personal.video_id, personal.score from personal
    union all
    select popular.video_id, popular.score from popular
) as found
order by rank
$$;
{%- endmacro %}


{#
    How many videos a search takes before it sorts, for so many that are wanted: the probed lists hold the nearest 20 of
    nearly everybody, but not the nearest 100. Where they hold fewer than that, the scan goes on with the next lists.
#}
{% macro taken_for(wanted) -%}
4::bigint * {{ wanted }}
{%- endmacro %}


{# Whether this build is of the schema that the app's functions read: a split that is evaluated has one of its own. #}
{% macro is_served() -%}
    {{ return(env_var('TWO_TOWER_SCHEMA', target.schema) == 'two_tower') }}
{%- endmacro %}


{# On run end: the functions are there from the first build on, before anything is released. #}
{% macro ensure_serving_functions() -%}
    {%- set read = (ref('popularity'), ref('interactions')) -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() and load_relation(read[0]) and load_relation(read[1]) -%}
        {{ return(adapter.dispatch('ensure_serving_functions')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro postgres__ensure_serving_functions() -%}
    {%- set are_missing = run_query("select to_regproc('public.recommend_videos') is null").columns[0].values()[0] -%}
    {%- if are_missing and pgvector_schema() is not none -%}
        {{ create_serving_functions() }}
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__ensure_serving_functions() -%}
    {{ create_serving_functions() }}
{%- endmacro %}
