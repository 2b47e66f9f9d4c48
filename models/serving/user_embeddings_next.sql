{{ config(
    pre_hook=["{{ use_pgvector() }}", "{{ drop_refused() }}"],
    post_hook="{{ index_embeddings('user_id') }}",
) }}

select
    user_id,
    embedding
from {{ source('landing', 'user_embeddings_landing') }}
