-- Which of two releases is clicked and liked more? Of whole lists; a difference counts if its interval leaves out zero.
select
    experiment, variant, list_count, user_count, click_rate, click_difference, click_difference_lower,
    click_difference_upper, like_rate, like_difference, like_difference_lower, like_difference_upper
from two_tower.experiment_results
where position is null
order by experiment, variant;
