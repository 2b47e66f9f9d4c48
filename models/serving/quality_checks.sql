with landed as {{ landed_version() }},

runs as (
    select
        runs.run_id,
        runs.users,
        runs.videos
    from landed
    left join {{ source('evaluation', 'evaluation_runs') }} as runs on runs.run_id = landed.version
),

metrics as (
    select
        metrics.metric,
        metrics.value
    from {{ source('evaluation', 'evaluation_metrics') }} as metrics
    inner join landed on metrics.run_id = landed.version
    where metrics.model = 'two_tower' and metrics.slice = 'overall'
),

-- NDCG@10 must be better with the whole interval, Recall@20 on average.
against_popularity as (
    select
        'popularity:' || comparisons.metric as check_name,
        case when comparisons.metric = 'ndcg@10' then comparisons.lower else comparisons.difference end as value,
        'above' as requirement,
        0 as threshold,
        comparisons.lower,
        comparisons.upper,
        comparisons.users as user_count,
        null as note
    from {{ source('evaluation', 'evaluation_comparisons') }} as comparisons
    inner join landed on comparisons.run_id = landed.version
    where comparisons.baseline = 'popularity'
),

-- Coverage is relative to the number of videos that the lists of 20 can hold.
beyond_accuracy as (
    select
        bounds.check_name,
        metrics.value / case when bounds.metric = 'coverage' then least(1, 20.0 * runs.users / runs.videos) else 1 end
            as value,
        bounds.requirement,
        bounds.threshold,
        runs.users as user_count,
        case when metrics.value is null then 'not defined for these users' end as note
    from (
        select 'coverage' as check_name, 'coverage' as metric, 'at least' as requirement,
            {{ var('gate_coverage_floor') }} as threshold
        union all
        select 'popularity_lift:least', 'popularity_lift', 'at least', {{ var('gate_popularity_lift')[0] }}
        union all
        select 'popularity_lift:most', 'popularity_lift', 'at most', {{ var('gate_popularity_lift')[1] }}
    ) as bounds
    cross join runs
    left join metrics on metrics.metric = bounds.metric
    where runs.run_id is not null
),

measured as (
    select
        check_name, value, requirement, threshold, lower, upper, user_count, note
    from against_popularity
    union all
    select check_name, value, requirement, threshold, null, null, user_count, note from beyond_accuracy
)

select
    check_name,
    cast(value as double precision) as value,
    requirement,
    cast(threshold as double precision) as threshold,
    cast(lower as double precision) as lower,
    cast(upper as double precision) as upper,
    cast(user_count as bigint) as user_count,
    case
        when {{ var('is_rollback') }} then 'a rollback is not held to metrics'
        when user_count < {{ var('gate_min_users') }} then 'too few users to judge'
        when value is null then note
    end as waiver,
    note
from measured
