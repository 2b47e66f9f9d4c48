with landed as {{ landed_version() }},

runs as (
    select
        landed.version,
        serving.version as serving_version,
        runs.serving_version as compared_version,
        runs.serving_state,
        runs.serving_note
    from landed
    left join {{ source('evaluation', 'evaluation_runs') }} as runs on runs.run_id = landed.version
    left join {{ serving_release() }} as serving on true
),

metrics as (
    select
        metrics.slice,
        metrics.metric,
        metrics.value
    from {{ source('evaluation', 'evaluation_metrics') }} as metrics
    inner join landed on metrics.run_id = landed.version
    where metrics.model = 'two_tower'
),

comparisons as (
    select
        comparisons.*,
        comparisons.baseline_value * (1 - {{ var('gate_margin') }}) as threshold
    from {{ source('evaluation', 'evaluation_comparisons') }} as comparisons
    inner join landed on comparisons.run_id = landed.version
    where comparisons.baseline = 'serving'
),

wanted as (
    {% for slice in ('overall', 'new_users', 'light_users', 'tail_items', 'cold_items') -%}
    select '{{ slice }}' as slice, 'ndcg@10' as metric union all select '{{ slice }}', 'recall@20'
    {{ 'union all' if not loop.last }}
    {% endfor -%}
)

select
    'serving:' || wanted.metric || ':' || wanted.slice as check_name,
    cast(coalesce(comparisons.value, metrics.value) as double precision) as value,
    'at least' as requirement,
    cast(comparisons.threshold as double precision) as threshold,
    comparisons.lower,
    comparisons.upper,
    comparisons.users as user_count,
    case
        when runs.serving_version is null then 'the first release: nothing to compare with'
        when runs.serving_version = runs.version then 'this version is serving'
        when {{ var('is_rollback') }} then 'a rollback is not held to metrics'
        when coalesce(runs.compared_version, '') <> runs.serving_version then null
        when runs.serving_state = 'other_layout' then 'the serving model reads other features'
        when runs.serving_state = 'unreadable' then null
        when comparisons.users is null then 'no user of this slice has a like that is held out from both models'
        when comparisons.users < {{ var('gate_min_users') }} then 'too few users to judge'
        when comparisons.value < comparisons.threshold and comparisons.upper >= 0
            then 'the loss may be chance: the interval of the difference holds 0'
    end as waiver,
    case
        when coalesce(runs.compared_version, '') <> runs.serving_version
            then 'not measured against ' || runs.serving_version || ', which is serving: two-tower evaluate does that'
        when runs.serving_state = 'unreadable' then runs.serving_note
    end as note
from wanted
cross join runs
left join metrics on metrics.slice = wanted.slice and metrics.metric = wanted.metric
left join comparisons
    on comparisons.baseline_version = runs.serving_version
    and comparisons.slice = wanted.slice
    and comparisons.metric = wanted.metric
