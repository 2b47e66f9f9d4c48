{{ config(
    pre_hook=["{{ use_pgvector() }}", "{{ drop_refused() }}"],
    post_hook="{{ index_embeddings('video_id') }}",
) }}

select
    video_id,
    embedding
from {{ source('landing', 'video_embeddings_landing') }}
