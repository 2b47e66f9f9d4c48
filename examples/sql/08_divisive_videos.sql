-- Which videos split their audience?
--
-- divisiveness is twice the smaller of the two camps (5 stars against 1 or 2) as a share of all reviews: 1 means half
-- adore it and half cannot stand it, 0 that one camp is empty. Videos below ten reviews are left out. For these the
-- user's own taste matters most, so they are where a model beats popularity.
with camps as (
    select
        item_id,
        count(*) as review_count,
        count(*) filter (where weight > 0.95) as admirers,
        count(*) filter (where weight < 0.5) as detractors,
        avg(weight * 5) as mean_stars
    from two_tower.interactions
    group by item_id
    having count(*) >= 10
)

select
    videos.title,
    camps.review_count,
    camps.admirers,
    camps.detractors,
    round(camps.mean_stars::numeric(18, 6), 2) as mean_stars,
    round(2 * least(camps.admirers, camps.detractors)::numeric(18, 6) / camps.review_count, 3) as divisiveness,
    camps.item_id as video_id
from camps
inner join two_tower.videos
    on camps.item_id = videos.video_id
order by
    least(camps.admirers, camps.detractors)::double precision / camps.review_count desc,
    camps.review_count desc,
    camps.item_id
limit 20;
