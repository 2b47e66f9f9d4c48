-- Which videos does the model know only by their content, newest first?
--
-- A cold video has no training review: its vector comes from source, maker, label, series, tags, performers and
-- price alone. filled_slots counts the entries of its feature vector: a cold video with few of them is placed almost
-- blindly, so its tags are worth an editor's minute.
select
    videos.title,
    videos.released_on,
    videos.maker,
    cardinality(item_feature_slots.feature_ids) as filled_slots,
    popularity.review_count as reviews_held_out,
    evaluation_items.video_id
from two_tower.evaluation_items
inner join two_tower.videos
    on evaluation_items.video_id = videos.video_id
inner join two_tower.item_feature_slots
    on evaluation_items.video_id = item_feature_slots.video_id
inner join two_tower.popularity
    on evaluation_items.video_id = popularity.video_id
where evaluation_items.item_slice = 'cold'
order by
    videos.released_on desc nulls last,
    evaluation_items.video_id
limit 50;
