-- Text embeddings of another width than the var text_embedding_width: they come from another model.
select
    video_id,
    {{ array_size('embedding') }} as width
from {{ ref('stg_video_text_embeddings') }}
where {{ var('text_embedding_width') }} > 0 and {{ array_size('embedding') }} <> {{ var('text_embedding_width') }}
