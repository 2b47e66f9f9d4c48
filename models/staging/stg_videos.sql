select
    id as video_id,
    title,
    thumbnail_url,
    product_url,
    nullif({{ text_value('source') }}, '') as source,
    nullif({{ text_value('maker') }}, '') as maker,
    nullif({{ text_value('label') }}, '') as label,
    nullif({{ text_value('series') }}, '') as series,
    price::double precision as price,
    released_on
from {{ source('catalogue', 'videos') }}
