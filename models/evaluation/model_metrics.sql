with runs as (
    select
        run_id,
        evaluated_at,
        split,
        protocol,
        split_seed,
        layout_hash,
        row_number() over (
            partition by protocol
            order by evaluated_at desc, {{ byte_order('run_id') }} desc
        ) as run_age
    from {{ source('evaluation', 'evaluation_runs') }}
),

metrics as (
    select run_id, model, slice, metric, value, lower, upper, users
    from {{ source('evaluation', 'evaluation_metrics') }}
),

popularity as (
    select run_id, slice, metric, value from metrics where model = 'popularity'
)

select
    metrics.run_id,
    metrics.model,
    metrics.slice,
    metrics.metric,
    runs.evaluated_at,
    cast(runs.run_age as integer) as run_age,
    runs.split,
    runs.protocol,
    runs.split_seed,
    runs.layout_hash,
    metrics.users as user_count,
    metrics.value,
    metrics.lower,
    metrics.upper,
    popularity.value as popularity_value,
    metrics.value - popularity.value as difference_to_popularity,
    metrics.value / nullif(popularity.value, 0) as ratio_to_popularity
from metrics
inner join runs on runs.run_id = metrics.run_id
left join popularity
    on popularity.run_id = metrics.run_id
    and popularity.slice = metrics.slice
    and popularity.metric = metrics.metric
