-- A catalogue that lacks more than var removed_share_ceiling of the videos that are served: a file that was cut off, and a
-- model of what is left of it would take the place of a whole one.
{% set served = source('served', 'video_embeddings') -%}
{% if execute and is_served() and load_relation(served) -%}
{{ removed_videos(served, ref('videos')) }}
{%- else -%}
select 1 as served_count
from {{ ref('videos') }}
where false
{%- endif %}
