select
    video_id::uuid as video_id,
    embedding::real[] as embedding
from {{ source_or_empty('catalogue', 'video_text_embeddings', {'video_id': 'uuid', 'embedding': 'real[]'}) }}
where embedding is not null
