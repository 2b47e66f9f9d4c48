with impressions as (
    select
        experiment,
        variant,
        user_id,
        shown_at,
        rank,
        is_clicked,
        is_liked
    from {{ ref('int_impressions') }}
    where experiment is not null
),

-- Each list once as a whole, without a position, and once at each of its positions.
lists as (
    select
        experiment,
        variant,
        null::integer as position,
        user_id,
        max(case when is_clicked then 1 else 0 end) as clicked,
        max(case when is_liked then 1 else 0 end) as liked
    from impressions
    group by experiment, variant, user_id, shown_at
    union all
    select
        experiment,
        variant,
        rank as position,
        user_id,
        case when is_clicked then 1 else 0 end as clicked,
        case when is_liked then 1 else 0 end as liked
    from impressions
),

counted as (
    select
        experiment,
        variant,
        position,
        count(*) as list_count,
        count(distinct user_id) as user_count,
        sum(clicked)::bigint as clicked_count,
        sum(liked)::bigint as liked_count
    from lists
    group by experiment, variant, position
),

rates as (
    select
        *,
        clicked_count / list_count::double precision as click_rate,
        {{ wilson('clicked_count', 'list_count', 'lower') }} as click_rate_lower,
        {{ wilson('clicked_count', 'list_count', 'upper') }} as click_rate_upper,
        liked_count / list_count::double precision as like_rate,
        {{ wilson('liked_count', 'list_count', 'lower') }} as like_rate_lower,
        {{ wilson('liked_count', 'list_count', 'upper') }} as like_rate_upper
    from counted
)

select
    rates.experiment,
    rates.variant,
    rates.position,
    rates.list_count,
    rates.user_count,
    rates.clicked_count,
    rates.liked_count,
    rates.click_rate,
    rates.click_rate_lower,
    rates.click_rate_upper,
    rates.like_rate,
    rates.like_rate_lower,
    rates.like_rate_upper,
    rates.click_rate - control.click_rate as click_difference,
    {{ difference_bound('click_rate', 'rates', 'control', 'lower') }} as click_difference_lower,
    {{ difference_bound('click_rate', 'rates', 'control', 'upper') }} as click_difference_upper,
    rates.like_rate - control.like_rate as like_difference,
    {{ difference_bound('like_rate', 'rates', 'control', 'lower') }} as like_difference_lower,
    {{ difference_bound('like_rate', 'rates', 'control', 'upper') }} as like_difference_upper
from rates
left join rates as control
    on rates.experiment = control.experiment
    and coalesce(rates.position, 0) = coalesce(control.position, 0)
    and control.variant = 'control'
    and rates.variant != 'control'
