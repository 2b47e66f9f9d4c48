{#
    The split, by var split_strategy: a select of user_id, video_id, occurred_at, draw and split (`train`, `valid` or
    `shown`) from `reviews`, the name of a CTE (user_id, video_id, is_liked, reviewed_at, occurred_at, draw). Every
    choice is a hash of var split_seed, so it is the same on both engines and in every build.
#}
{% macro split_reviews(reviews) %}
    {%- set strategies = {
        'random': split_at_random,
        'temporal': split_after_a_moment,
        'leave_last_out': split_last_like_out,
        'cold_items': split_cold_items_out,
        'cold_users': split_cold_users_out,
    } -%}
    {%- set strategy = var('split_strategy') -%}
    {%- if strategy not in strategies -%}
        {{ exceptions.raise_compiler_error(
            "var split_strategy is '" ~ strategy ~ "'; it is one of " ~ strategies.keys() | join(', ')
        ) }}
    {%- endif -%}
    {{ strategies[strategy](reviews) }}
{% endmacro %}

{# A hash of the split's seed and a text, in [0, 1). #}
{% macro split_draw(text) -%}
    {{ hash_fraction("'" ~ var('split_seed') | string | replace("'", "''") ~ ":' || " ~ text) }}
{%- endmacro %}

{#
    Holds out a share of each user's reviews. The count is rounded up or down by a hash of the user, so that the share
    holds on average for any number of reviews. At least one review stays in train.
#}
{% macro split_at_random(reviews) %}
    select
        user_id,
        video_id,
        occurred_at,
        draw,
        case
            when row_number() over (partition by user_id order by draw, video_id) <= least(
                count(*) over (partition by user_id) - 1,
                floor(
                    count(*) over (partition by user_id) * {{ var('valid_fraction') }}::double precision
                    + {{ split_draw('user_id') }}
                )
            ) then 'valid'
            else 'train'
        end as split
    from {{ reviews }}
{% endmacro %}

{# Holds out all reviews after one moment. A review without a timestamp counts as made at as_of, which is after it. #}
{% macro split_after_a_moment(reviews) %}
    select
        reviews.user_id,
        reviews.video_id,
        reviews.occurred_at,
        reviews.draw,
        case when reviews.reviewed_at <= cut.train_as_of then 'train' else 'valid' end as split
    from {{ reviews }} as reviews
    cross join {{ ref('int_as_of') }} as cut
{% endmacro %}

{#
    Holds out each user's last like and everything that the user reviewed after it: a later dislike would leak the
    future too. A user whose last like is their first review keeps it in train.
#}
{% macro split_last_like_out(reviews) %}
    select
        user_id,
        video_id,
        occurred_at,
        draw,
        case
            when max(place) filter (where is_liked) over (partition by user_id) > 1
                and place >= max(place) filter (where is_liked) over (partition by user_id) then 'valid'
            else 'train'
        end as split
    from (
        select *, row_number() over (partition by user_id order by occurred_at, draw, video_id) as place
        from {{ reviews }}
    ) as placed
{% endmacro %}

{# Holds out all reviews of a share of the videos. #}
{% macro split_cold_items_out(reviews) %}
    select
        user_id,
        video_id,
        occurred_at,
        draw,
        case
            when {{ split_draw("'cold item:' || video_id::text") }} < {{ var('cold_share') }} then 'valid'
            else 'train'
        end as split
    from {{ reviews }}
{% endmacro %}

{# Holds out all reviews of a share of the users. Their first likes by draw are `shown` to the trained model. #}
{% macro split_cold_users_out(reviews) %}
    select
        user_id,
        video_id,
        occurred_at,
        draw,
        case
            when {{ split_draw("'cold user:' || user_id") }} >= {{ var('cold_share') }} then 'train'
            when is_liked
                and row_number() over (partition by user_id, is_liked order by draw, video_id)
                <= {{ var('cold_user_likes') | max }} then 'shown'
            else 'valid'
        end as split
    from {{ reviews }}
{% endmacro %}
