-- Text embeddings in which something is no number: null, NaN or infinite.
select video_id
from {{ ref('stg_video_text_embeddings') }}
where not {{ is_finite_array('embedding') }}
