with released as (
    select
        tower,
        feature,
        bin,
        row_count,
        version
    from {{ released_distributions_of_serving() }} as released
),

today as (
    select * from {{ ref('distributions') }}
),

-- Half a row more in each bin: an empty bin would make the index infinite.
bins as (
    select
        coalesce(today.tower, released.tower) as tower,
        coalesce(today.feature, released.feature) as feature,
        coalesce(today.row_count, 0) + 0.5 as rows_now,
        coalesce(released.row_count, 0) + 0.5 as rows_then,
        case when today.bin is null then 0 else 1 end as is_now,
        case when released.bin is null then 0 else 1 end as is_then
    from today
    full outer join released
        on released.tower = today.tower and released.feature = today.feature and released.bin = today.bin
),

shares as (
    select
        tower,
        feature,
        rows_now / sum(rows_now) over (partition by tower, feature) as share_now,
        rows_then / sum(rows_then) over (partition by tower, feature) as share_then,
        is_now,
        is_then
    from bins
),

-- The last 7 days that have lists, and the 28 days before them.
weeks as (
    select
        day > latest - 7 as is_now,
        sum(click_count)::bigint as click_count,
        sum(impression_count)::bigint as impression_count
    from (select *, max(day) over () as latest from {{ ref('online_metrics') }}) as days
    where day > latest - 35
    group by day > latest - 7
),

measured as (
    select
        tower,
        feature,
        'psi' as measure,
        sum((share_now - share_then) * ln(share_now / share_then)) as value,
        {{ var('drift_psi_ceiling') }} as threshold
    from shares
    group by tower, feature
    -- A feature that only one of the two has cannot be compared.
    having max(is_now) = 1 and max(is_then) = 1
    union all
    select
        tower,
        feature,
        'new_token_share' as measure,
        sum(new_count) * 1.0 / sum(row_count) as value,
        {{ var('drift_new_token_ceiling') }} as threshold
    from today
    where width > 1 and exists (select 1 from released)
    group by tower, feature
    union all
    select
        tower,
        feature,
        'unknown_share' as measure,
        sum(case when bin = 'unknown' then row_count else 0 end) * 1.0 / sum(row_count) as value,
        {{ var('drift_unknown_url_ceiling') }} as threshold
    from today
    where tower = 'reviews'
    group by tower, feature
    union all
    -- What chance may have taken is not lost: the highest rate that now may have against the lowest of before.
    select
        'online' as tower,
        'click_through_rate' as feature,
        'lost_share' as measure,
        1 - {{ wilson('now.click_count', 'now.impression_count', 'upper') }}
        / nullif({{ wilson('before.click_count', 'before.impression_count', 'lower') }}, 0) as value,
        {{ var('drift_ctr_ceiling') }} as threshold
    from weeks as now
    inner join weeks as before
        on now.is_now and not before.is_now
    where before.click_count > 0
)

select
    serving.version,
    measured.tower,
    measured.feature,
    measured.measure,
    cast(measured.value as double precision) as value,
    cast(measured.threshold as double precision) as threshold,
    measured.value > measured.threshold as is_exceeded
from measured
left join {{ serving_release() }} as serving on true
