-- Videos whose URLs name the same page: all reviews of it go to the first, so the others look cold.
{{ config(severity='warn') }}

select
    canonical_url,
    count(*) as video_count,
    min(video_id::text) as reviewed_as
from {{ ref('stg_videos') }}
where canonical_url is not null
group by canonical_url
having count(*) > 1
