select
    file,
    line,
    product_url,
    reviewer_id as user_id,
    stars,
    reviewed_at
from {{ source('raw', 'reviews') }}
