with landed as {{ landed_version() }},

history as (
    select
        count(runs.run_id) > 0 as is_evaluated,
        count(serving.version) = 0 as is_first,
        count(withdrawn.version) > 0 as is_withdrawn
    from landed
    left join {{ source('evaluation', 'evaluation_runs') }} as runs on runs.run_id = landed.version
    left join {{ withdrawn_versions() }} as withdrawn on withdrawn.version = landed.version
    left join {{ serving_release() }} as serving on true
),

checks as (
    select
        'evaluated' as check_name,
        case when is_evaluated then 1 else 0 end as value,
        'at least' as requirement,
        1 as threshold,
        -- Before the first release popularity serves: a model that could not be measured may replace it.
        case when not is_evaluated and is_first then 'the first release: not evaluated, nothing to compare with' end
            as waiver,
        case when not is_evaluated then 'two-tower evaluate has not measured this version' end as note
    from history
    union all
    select
        'withdrawn',
        case when is_withdrawn then 1 else 0 end,
        'at most',
        0,
        null,
        case
            when is_withdrawn
                then 'a rollback withdrew it: train on newer data, or put it back by two-tower rollback VERSION'
        end
    from history
)

select
    check_name,
    cast(value as double precision) as value,
    requirement,
    cast(threshold as double precision) as threshold,
    case when {{ var('is_rollback') }} then 'a rollback is not held to metrics' else waiver end as waiver,
    note
from checks
