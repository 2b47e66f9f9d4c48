-- What did the app record in the last 30 days?
select kind, count(*) as event_count, count(distinct user_id) as user_count, max(happened_at) as last_at
from two_tower.events
where happened_at > now() - interval '30 days'
group by kind
order by event_count desc, kind;
