-- For whom, and for which videos, is the serving version good? Intervals are of 95 percent.
select
    metrics.slice, metrics.metric, metrics.value, metrics.lower, metrics.upper, popularity.value as popularity,
    metrics.users
from two_tower.evaluation_metrics as metrics
left join two_tower.evaluation_metrics as popularity
    on popularity.run_id = metrics.run_id and popularity.slice = metrics.slice and popularity.metric = metrics.metric
    and popularity.model = 'popularity'
where metrics.run_id = (select version from two_tower.model_releases order by release_id desc limit 1)
    and metrics.model = 'two_tower' and metrics.metric = 'recall@20' and metrics.value is not null
order by metrics.slice <> 'overall', metrics.slice;
