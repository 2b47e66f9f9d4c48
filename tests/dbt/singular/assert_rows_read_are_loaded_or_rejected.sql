-- Files in which a row got lost or came twice: by the loader's own count, or by the rows that are there.
select
    file,
    rows_read,
    rows_loaded,
    rows_rejected,
    found_loaded,
    found_rejected
from {{ ref('load_reconciliation') }}
where
    rows_read != rows_loaded + rows_rejected
    or rows_read != found_loaded + found_rejected
    or rows_loaded != found_loaded
