-- What does this user like more than others do?
--
-- lift compares the share of the user's liked videos that have the tag with the same share of everybody's: 2 means
-- twice as often as usual. Tags below three likes say little and are left out. Put a user_id in place of
-- the subquery, which takes the user with the most likes.
with person as (
    select user_id
    from two_tower.users
    order by
        like_count desc,
        user_id collate "C"
    limit 1
),

likes as (
    select
        interactions.user_id,
        interactions.item_id
    from two_tower.interactions
    where interactions.label = 1
),

totals as (
    select
        count(*) as like_count,
        count(*) filter (where user_id = (select user_id from person)) as own_like_count
    from likes
),

tag_likes as (
    select
        tags.tag_id,
        count(*) as like_count,
        count(*) filter (where likes.user_id = (select user_id from person)) as own_like_count
    from likes
    inner join two_tower.videos
        on likes.item_id = videos.video_id
    cross join unnest(videos.tag_ids) as tags (tag_id)
    group by tags.tag_id
)

select
    tag_likes.tag_id,
    stg_tags.name,
    tag_likes.own_like_count,
    tag_likes.like_count as everybodys_like_count,
    round(
        (
            (tag_likes.own_like_count::double precision / totals.own_like_count)
            / (tag_likes.like_count::double precision / totals.like_count)
        )::numeric(18, 6), 3
    ) as lift
from tag_likes
cross join totals
left join two_tower.stg_tags
    on tag_likes.tag_id = stg_tags.tag_id
where tag_likes.own_like_count >= 3
order by
    tag_likes.own_like_count * totals.like_count::double precision / tag_likes.like_count desc,
    tag_likes.tag_id collate "C"
limit 20;
