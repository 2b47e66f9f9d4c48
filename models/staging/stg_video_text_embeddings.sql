{% if text_embedding_width() -%}
select
    video_id::uuid as video_id,
    embedding::real[] as embedding
from {{ source_or_empty('catalogue', 'video_text_embeddings', {'video_id': 'uuid', 'embedding': 'real[]'}) }}
where embedding is not null
{%- else -%}
-- The table is not read.
select
    cast(null as uuid) as video_id,
    cast(null as real[]) as embedding
where false
{%- endif %}
