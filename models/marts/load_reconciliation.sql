with files as (
    select
        file,
        rows_read,
        rows_loaded,
        rows_rejected
    from {{ ref('stg_review_files') }}
),

loaded as (
    select
        file,
        count(*) as found_loaded
    from {{ ref('stg_reviews') }}
    group by file
),

rejected as (
    select
        file,
        count(*) as found_rejected
    from {{ ref('stg_rejected_reviews') }}
    group by file
),

-- Rows of a file that the log does not know are as wrong as rows that are missing.
named as (
    select file
    from files
    union
    select file
    from loaded
    union
    select file
    from rejected
)

select
    named.file,
    coalesce(files.rows_read, 0) as rows_read,
    coalesce(files.rows_loaded, 0) as rows_loaded,
    coalesce(files.rows_rejected, 0) as rows_rejected,
    coalesce(loaded.found_loaded, 0) as found_loaded,
    coalesce(rejected.found_rejected, 0) as found_rejected
from named
left join files
    on named.file = files.file
left join loaded
    on named.file = loaded.file
left join rejected
    on named.file = rejected.file
