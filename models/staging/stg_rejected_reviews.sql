select
    file,
    line,
    reason,
    row_text
from {{ source('raw', 'rejected_reviews') }}
