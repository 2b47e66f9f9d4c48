-- How far have the data moved since the release that serves? The furthest first.
select version, tower, feature, measure, value, threshold, is_exceeded
from two_tower.drift
order by value / nullif(threshold, 0) desc nulls last, tower, feature
limit 20;
