-- Videos whose URLs name the same page: all its reviews go to the first, and the others are not recommended.
{{ config(severity='warn') }}

select
    canonical_url,
    count(*) as video_count,
    min(video_id::text) as recommended_id,
    string_agg(video_id::text, ', ' order by video_id) filter (where not is_first_of_page) as other_ids
from {{ ref('int_videos') }}
where canonical_url is not null
group by canonical_url
having count(*) > 1
