{# The same functions as table macros of DuckDB, by exact search. #}
{% macro duckdb__create_serving_functions() -%}
    create schema if not exists public;
    create table if not exists public.user_embeddings (user_id text, embedding float[128]);
    create table if not exists public.video_embeddings (video_id uuid, embedding float[128]);
    {{ search_macro(
        'recommend_videos',
        'p_user_id, p_limit := 20, p_exclude_seen := true',
        'select u.embedding from public.user_embeddings as u where u.user_id = ' ~ text_value('p_user_id'),
        'select i.item_id from two_tower.interactions as i where p_exclude_seen and i.user_id = ' ~ text_value('p_user_id')
    ) }}
    {{ search_macro(
        'similar_videos',
        'p_video_id, p_limit := 20',
        'select v.embedding from public.video_embeddings as v where v.video_id = p_video_id::uuid',
        'select p_video_id::uuid where p_video_id is not null'
    ) }}
    {{ search_macro(
        'recommend_for_vector',
        'p_embedding, p_limit := 20, p_exclude := []',
        'select p_embedding::float[128]',
        'select unnest(p_exclude::uuid[])'
    ) }}
{%- endmacro %}


{# The nearest videos without the excluded ones, else the most popular: as sql/functions on Postgres. #}
{% macro search_macro(name, parameters, vector, excluded) -%}
create or replace macro public.{{ name }}({{ parameters }}) as table
with query as materialized (
    select ({{ vector }}) as embedding
),

excluded (video_id) as materialized (
    {{ excluded }}
),

personal as materialized (
    select v.video_id, array_cosine_similarity(v.embedding, query.embedding)::double precision as score
    from public.video_embeddings as v
    cross join query
    where query.embedding is not null
        and not exists (select 1 from excluded where excluded.video_id = v.video_id)
    order by score desc, v.video_id
    limit greatest(coalesce(p_limit, 20), 0)
),

popular_anyway as (
    select p.video_id, p.score, exists (select 1 from excluded where excluded.video_id = p.video_id) as is_excluded
    from two_tower.popularity as p
    where not exists (select 1 from personal)
),

popular as (
    select video_id, score
    from popular_anyway
    where not is_excluded or not exists (select 1 from popular_anyway where not is_excluded)
    order by score desc, video_id
    limit greatest(coalesce(p_limit, 20), 0)
)

select
    found.video_id, found.score, row_number() over (order by found.score desc, found.video_id)::integer as rank,
    found.source, {{ latest_release_id() }} as release_id,
    videos.title, videos.thumbnail_url, videos.product_url
from (
    select video_id, score, 'model' as source from personal
    union all
    select video_id, score, 'popular' from popular
) as found
left join two_tower.videos as videos on videos.video_id = found.video_id
order by rank;
{%- endmacro %}


{# The number of the release that serves; a macro of DuckDB cannot name a table that is not there yet. #}
{% macro latest_release_id() -%}
    {%- set looked_up = "select count(*) from information_schema.tables where table_schema = 'two_tower' and table_name = 'model_releases'" -%}
    {%- if execute and run_query(looked_up).columns[0].values()[0] | int > 0 -%}
        (select max(release_id) from two_tower.model_releases)
    {%- else -%}
        null::bigint
    {%- endif -%}
{%- endmacro %}
