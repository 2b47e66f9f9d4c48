{# A histogram of the cosines of 200 users with 200 videos: rows of (bin, row_count), ten bins per unit. #}
{% macro score_bins(users, videos) -%}
    {{ return(adapter.dispatch('score_bins')(users, videos)) }}
{%- endmacro %}

{% macro default__score_bins(users, videos) -%}
    {{ sampled_score_bins(users, videos, 'array_inner_product(users.embedding, videos.embedding)') }}
{%- endmacro %}

{% macro postgres__score_bins(users, videos) -%}
    {%- set cosine = '1 - (users.embedding operator(' ~ pgvector_schema() ~ '.<=>) videos.embedding)' -%}
    {{ sampled_score_bins(users, videos, cosine) }}
{%- endmacro %}

{% macro sampled_score_bins(users, videos, cosine) -%}
    select cast(cast(floor(10 * ({{ cosine }})) as integer) as text) as bin, count(*) as row_count
    from (select embedding from {{ users }} order by md5(user_id), user_id limit 200) as users
    cross join (
        select embedding from {{ videos }} order by md5(cast(video_id as text)), video_id limit 200
    ) as videos
    group by 1
{%- endmacro %}


{# The histogram of the served vectors, or no rows before the first build has made the tables. #}
{% macro served_score_bins() -%}
    {%- set users, videos = source('served', 'user_embeddings'), source('served', 'video_embeddings') -%}
    {%- if execute and load_relation(users) and load_relation(videos) and pgvector_or_duckdb() -%}
        {{ score_bins(users, videos) }}
    {%- else -%}
        select cast(null as text) as bin, cast(null as bigint) as row_count where false
    {%- endif -%}
{%- endmacro %}

{% macro pgvector_or_duckdb() -%}
    {{ return(target.type != 'postgres' or pgvector_schema() is not none) }}
{%- endmacro %}


{# The distributions at the time of the serving release, or no rows before the first one. #}
{% macro released_distributions_of_serving() -%}
    (
        select released.tower, released.feature, released.bin, released.row_count, released.width, released.version
        from (
            select tower, feature, bin, row_count, width, version
            from {{ source_or_empty('released', 'released_distributions', {
                'tower': 'text', 'feature': 'text', 'bin': 'text', 'row_count': 'bigint', 'width': 'integer', 'version': 'text',
            }) }}
        ) as released
        inner join {{ serving_release() }} as serving on serving.version = released.version
    )
{%- endmacro %}
