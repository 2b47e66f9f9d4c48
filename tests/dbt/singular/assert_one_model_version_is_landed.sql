-- Users and videos of two models have nothing to say to each other.
-- depends_on: {{ ref('user_embeddings_next') }} {{ ref('video_embeddings_next') }}

with landed as (
    select version
    from {{ source('landing', 'user_embeddings_landing') }}
    union
    select version
    from {{ source('landing', 'video_embeddings_landing') }}
)

select count(*) as version_count
from landed
having count(*) <> 1
