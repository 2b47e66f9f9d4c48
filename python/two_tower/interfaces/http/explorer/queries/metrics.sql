-- Metrics of each version over all held-out users; a slash is in the name of a run of a protocol.
select run_id as version, metric, value, lower, upper
from two_tower.evaluation_metrics
where model = 'two_tower' and slice = 'overall' and value is not null and position('/' in run_id) = 0
order by run_id desc, metric;
