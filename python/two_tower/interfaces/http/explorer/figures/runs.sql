-- How did the last 20 runs end?
select
    started_at, steps, state, (extract(epoch from ended_at - started_at) / 60)::double precision as minutes, version,
    message
from two_tower.pipeline_runs
order by started_at desc
limit 20;
