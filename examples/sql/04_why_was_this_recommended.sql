-- What does this video share with the ones that the user liked?
--
-- One row per shared tag or performer, with the number of liked videos behind it and one of their titles.
-- Put the user and the recommended video in place of the subqueries, which take the user with the most likes and the
-- most popular video new to them.
with person as (
    select user_id
    from two_tower.users
    order by
        like_count desc,
        user_id collate "C"
    limit 1
),

recommended as (
    select popularity.video_id
    from two_tower.popularity
    where
        not exists (
            select 1
            from two_tower.interactions
            where
                interactions.user_id = (select user_id from person)
                and interactions.item_id = popularity.video_id
        )
    order by popularity.popularity_rank
    limit 1
),

traits as (
    select
        videos.video_id,
        'tag' as trait,
        tags.tag_id as trait_id
    from two_tower.videos
    cross join unnest(videos.tag_ids) as tags (tag_id)
    union all
    select
        videos.video_id,
        'performer' as trait,
        performers.performer_id as trait_id
    from two_tower.videos
    cross join unnest(videos.performer_ids) as performers (performer_id)
),

names as (
    select
        'tag' as trait,
        tag_id as trait_id,
        name
    from two_tower.stg_tags
    union all
    select
        'performer' as trait,
        performer_id as trait_id,
        name
    from two_tower.stg_performers
)

select
    traits.trait,
    traits.trait_id,
    min(names.name) as name,
    count(distinct liked.video_id) as liked_videos,
    min(videos.title collate "C") as one_of_them
from traits
inner join recommended
    on traits.video_id = recommended.video_id
inner join traits as liked
    on traits.trait = liked.trait and traits.trait_id = liked.trait_id
inner join two_tower.interactions
    on
        liked.video_id = interactions.item_id
        and interactions.user_id = (select user_id from person)
        and interactions.label = 1
inner join two_tower.videos
    on liked.video_id = videos.video_id
left join names
    on traits.trait = names.trait and traits.trait_id = names.trait_id
group by
    traits.trait,
    traits.trait_id
order by
    liked_videos desc,
    traits.trait,
    traits.trait_id collate "C";
