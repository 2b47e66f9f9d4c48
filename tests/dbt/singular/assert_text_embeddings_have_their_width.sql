-- Text embeddings of another width than the var text_embedding_width: they come from another model.
select
    video_id,
    {{ array_size('embedding') }} as width,
    {{ text_embedding_width() }} as text_embedding_width
from {{ ref('stg_video_text_embeddings') }}
where {{ array_size('embedding') }} <> {{ text_embedding_width() }}
