select
    id as video_id,
    title,
    thumbnail_url,
    product_url,
    nullif({{ canonical_url('product_url') }}, '') as canonical_url,
    nullif(trim(source), '') as source,
    nullif(trim(maker), '') as maker,
    nullif(trim(label), '') as label,
    nullif(trim(series), '') as series,
    price::double precision as price,
    released_on
from {{ source('catalogue', 'videos') }}
