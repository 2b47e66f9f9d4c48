-- How good was each release on held-out reviews, beside popularity? Intervals are of 95 percent.
select
    releases.release_id, releases.version, releases.released_at, metrics.metric, metrics.value, metrics.lower,
    metrics.upper, popularity.value as popularity
from two_tower.model_releases as releases
inner join two_tower.evaluation_metrics as metrics
    on metrics.run_id = releases.version and metrics.model = 'two_tower' and metrics.slice = 'overall'
left join two_tower.evaluation_metrics as popularity
    on popularity.run_id = metrics.run_id and popularity.slice = metrics.slice and popularity.metric = metrics.metric
    and popularity.model = 'popularity'
where metrics.metric in ('ndcg@10', 'recall@20')
order by metrics.metric, releases.release_id;
