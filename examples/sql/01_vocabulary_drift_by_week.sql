-- How much of what people like has no place in the model's vocabulary, week by week?
--
-- tag_uses counts the tags of the videos liked in that week, unknown_uses those that have no index and so reach
-- no feature vector, new_tags the tags liked for the first time. A rising unknown_share means that
-- vocabulary_min_count or vocabulary_max_size shuts out what is coming into fashion.
with uses as (
    select
        date_trunc('week', interactions.timestamp)::date as week,
        tags.tag_id,
        min(date_trunc('week', interactions.timestamp)::date) over (partition by tags.tag_id) as first_week
    from two_tower.interactions
    inner join two_tower.videos
        on interactions.item_id = videos.video_id
    cross join unnest(videos.tag_ids) as tags (tag_id)
    where interactions.label = 1 and interactions.timestamp is not null
)

select
    uses.week,
    count(*) as tag_uses,
    count(*) filter (where vocabularies.token is null) as unknown_uses,
    count(distinct uses.tag_id) filter (where uses.first_week = uses.week) as new_tags,
    round(
        (count(*) filter (where vocabularies.token is null))::numeric(18, 6) / count(*), 4
    ) as unknown_share
from uses
left join two_tower.vocabularies
    on uses.tag_id = vocabularies.token and vocabularies.vocabulary = 'tag'
group by uses.week
order by uses.week desc
limit 26;
