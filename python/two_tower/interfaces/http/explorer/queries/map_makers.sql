-- The makers with most videos.
select maker as id, maker as name from two_tower.videos where maker is not null
group by maker order by count(*) desc, maker limit 8;
