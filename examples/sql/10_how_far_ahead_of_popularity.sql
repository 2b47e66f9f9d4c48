-- By how much is the newest model ahead of plain popularity, and for whom?
--
-- ratio is the model's figure by popularity's, in the latest evaluation: 1.5 means half as good again, below 1
-- worse. Read the slices beside `overall`: a model that is ahead for heavy users only has learnt nothing about new ones,
-- and popularity finds no tail video at all (ratio is then null).
select
    model_metrics.model,
    model_metrics.slice,
    model_metrics.metric,
    round(model_metrics.value::numeric(18, 6), 4) as value,
    round(model_metrics.popularity_value::numeric(18, 6), 4) as popularity_value,
    round(model_metrics.ratio_to_popularity::numeric(18, 6), 2) as ratio,
    model_metrics.user_count
from two_tower.model_metrics
where
    model_metrics.protocol is null
    and model_metrics.run_age = 1
    and model_metrics.model != 'popularity'
order by
    model_metrics.model collate "C",
    model_metrics.metric collate "C",
    model_metrics.slice collate "C";
