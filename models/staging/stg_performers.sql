-- Ids of the app that are equal once normalised are one.
select
    {{ text_value('id::text') }} as performer_id,
    min(name) as name
from {{ source('catalogue', 'performers') }}
group by 1
