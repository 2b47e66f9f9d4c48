-- How often are lists clicked, and how often are they popular videos only? The last 60 days with a list.
select *
from (
    select
        "day", list_count, click_through_rate, click_through_rate_lower, click_through_rate_upper, fallback_share, coverage
    from two_tower.online_metrics
    order by "day" desc
    limit 60
) as latest
order by "day";
