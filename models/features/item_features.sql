{{ config(indexes=lookup_indexes(['video_id'])) }}
{%- set width = text_embedding_width() %}
-- depends_on: {{ ref('stg_video_text_embeddings') }}

with videos as (
    select * from {{ ref('videos') }}
),

titles as (
    select
        video_id,
        array_agg(token order by {{ byte_order('token') }}) as tokens
    from {{ ref('int_title_tokens') }}
    group by video_id
)

select
    videos.video_id,
    videos.source,
    videos.maker,
    videos.label,
    videos.series,
    videos.tag_ids,
    videos.performer_ids,
    videos.price,
    {{ release_year('videos.released_on') }} as release_year,
    coalesce(titles.tokens, cast(array[] as text[])) as title_tokens,
    {% if width -%}
    coalesce({{ unit_vector('texts.embedding') }}, cast(array[] as real[])) as text_embedding
    {%- else -%}
    cast(array[] as real[]) as text_embedding
    {%- endif %}
from videos
left join titles on titles.video_id = videos.video_id
{%- if width %}
left join {{ ref('stg_video_text_embeddings') }} as texts
    on texts.video_id = videos.video_id
    and {{ array_size('texts.embedding') }} = {{ width }}
    and {{ is_finite_array('texts.embedding') }}
{%- endif %}
