-- The gate: what serves is replaced by nothing that failed a check.

select
    check_name,
    value,
    requirement,
    threshold,
    note
from {{ ref('promotion_checks') }}
where attempt = (select max(attempt) from {{ ref('promotion_checks') }}) and not passed
