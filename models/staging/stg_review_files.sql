select
    file,
    sha256,
    encoding,
    rows_read,
    rows_loaded,
    rows_rejected,
    loaded_at
from {{ source('raw', 'review_files') }}
