-- Ids of the app that are equal once normalised are one.
select
    {{ text_value('id::text') }} as tag_id,
    min(name) as name
from {{ source('catalogue', 'tags') }}
group by 1
