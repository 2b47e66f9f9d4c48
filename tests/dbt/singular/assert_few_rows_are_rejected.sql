-- Files, and all files together (null), of which more rows were refused than var rejected_share_ceiling allows: a
-- delivery that broke on its way, and nothing to train on. A few rows say nothing about a file.
select
    file,
    sum(rows_read) as rows_read,
    sum(rows_rejected) as rows_rejected
from {{ ref('load_reconciliation') }}
group by grouping sets ((file), ())
having
    sum(rows_read) >= {{ var('rejected_rows_judged_from') }}
    and sum(rows_rejected) > {{ var('rejected_share_ceiling') }} * sum(rows_read)
