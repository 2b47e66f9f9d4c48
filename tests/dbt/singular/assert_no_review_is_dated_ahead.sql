-- Such a review counts as made at as_of. Often its file has local times without an offset, which are read as UTC: all
-- its reviews are hours late or early. Write the offset behind them.
{{ config(severity='warn') }}

select
    file,
    count(*) as review_count,
    max(reviewed_at) as latest_reviewed_at
from {{ ref('stg_reviews') }}
where reviewed_at > {{ build_started_at() }}
group by file
