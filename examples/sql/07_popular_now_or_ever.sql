-- Which videos are rising, and which live on old fame?
--
-- rank_now is by the likes of the last 30 days, rank_ever by all likes; a large positive climb is a video whose
-- moment is now. Both feed the popularity mix in equal parts.
with ranked as (
    select
        video_id,
        like_count,
        like_count_30d,
        popularity_rank,
        row_number() over (
            order by
                like_count_30d desc,
                video_id
        ) as rank_now,
        row_number() over (
            order by
                like_count desc,
                video_id
        ) as rank_ever
    from two_tower.popularity
)

select
    videos.title,
    ranked.like_count_30d,
    ranked.rank_now,
    ranked.like_count,
    ranked.rank_ever,
    ranked.rank_ever - ranked.rank_now as climb,
    ranked.popularity_rank,
    ranked.video_id
from ranked
inner join two_tower.videos
    on ranked.video_id = videos.video_id
where ranked.rank_now <= 20 or ranked.rank_ever <= 20
order by
    climb desc,
    ranked.video_id;
