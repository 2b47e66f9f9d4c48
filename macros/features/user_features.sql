{#
    The features of each user as of one moment, in readable form.

    events: the name of a CTE (user_id, video_id, label, weight, occurred_at); as_of: the name of a one-row CTE with a
    column as_of. Events after it do not count. The last 30 days are (as_of - 30 days, as_of]. A user without events has
    zeros and empty arrays. The sign-up is the app's, else the user's first event here: the first review in the
    marts may be held out.
    people: the name of a CTE (user_id, person_id, signed_up_at), where the features are not those of all `users`: user_id names
    the case, person_id whose profile it has.
#}
{% macro user_features(events, as_of, people=none) %}
    {%- set max_history = var('max_history_items') -%}
    {%- set most = var('max_preferred') -%}
{%- if not people %}
{%- set people = 'people' -%}
people as (
    select users.user_id, users.user_id as person_id, stg_users.signed_up_at
    from {{ ref('users') }} as users
    left join {{ ref('stg_users') }} as stg_users on stg_users.user_id = users.user_id
),

{% endif -%}
-- Users and tokens are grouped and sorted by numbers, which takes half the time that their texts take.
accounts as (
    select
        user_id,
        person_id,
        signed_up_at,
        cast(row_number() over (order by {{ byte_order('user_id') }}) as integer) as user_number
    from {{ people }}
),

profiles as (
    select user_id, array_agg(token order by {{ byte_order('token') }}) as user_categories
    from (select distinct user_id, token from {{ ref('stg_user_categories') }}) as categories
    group by user_id
),

-- The numbers of a kind rise in the order of its tokens' bytes.
video_tokens as (
    select
        video_id,
        kind,
        token,
        amount,
        cast(dense_rank() over (order by kind, {{ byte_order('token') }}) as integer) as token_number
    from (
        select video_id, 'tag' as kind, tag_id as token, 1 as amount from {{ ref('stg_video_tags') }}
        union all
        select video_id, 'maker', maker, 1 from {{ ref('stg_videos') }}
        union all
        select video_id, 'release_year', {{ release_year('released_on') }}, 1 from {{ ref('stg_videos') }}
        union all
        select video_id, 'title_token', token, rarity from {{ ref('int_title_tokens') }}
    ) as kinds
    where token is not null
),

tokens as (
    select token_number, min(kind) as kind, min(token) as token
    from video_tokens
    group by token_number
),

past_events as (
    select
        accounts.user_number,
        events.video_id,
        events.label,
        {{ relevance('events.weight') }} as relevance,
        events.occurred_at,
        events.occurred_at > moment.as_of - interval '30 days' as is_recent,
        row_number() over (
            partition by accounts.user_number order by events.occurred_at desc, events.video_id
        ) as place
    from {{ events }} as events
    inner join accounts on accounts.user_id = events.user_id
    cross join {{ as_of }} as moment
    where events.occurred_at <= moment.as_of
),

activity as (
    select
        user_number,
        min(occurred_at) as first_event_at,
        count(*) filter (where is_recent) as review_count_30d,
        count(*) filter (where is_recent and label = 1) as like_count_30d,
        (array_agg(video_id order by place) filter (where label = 1))[1:{{ max_history }}] as liked_video_ids,
        (array_agg(video_id order by place))[1:{{ max_history }}] as reviewed_video_ids,
        (array_agg(relevance order by place))[1:{{ max_history }}] as review_relevances
    from past_events
    group by user_number
),

token_likes as (
    select
        past_events.user_number,
        video_tokens.token_number,
        cast(sum(video_tokens.amount) as bigint) as amount
    from past_events
    inner join video_tokens on video_tokens.video_id = past_events.video_id
    where past_events.label = 1
    group by past_events.user_number, video_tokens.token_number
),

standings as (
    select
        token_likes.user_number,
        tokens.kind,
        tokens.token,
        {{ standing('token_likes.amount', 'tokens.token_number') }} as standing
    from token_likes
    inner join tokens on tokens.token_number = token_likes.token_number
),

preferred as (
    {{ first_tokens('standings', 'tokens', preferred_features(), most) }}
)

select
    accounts.user_id,
    coalesce(preferred.preferred_tag_ids, cast(array[] as text[])) as preferred_tag_ids,
    cast(coalesce(activity.like_count_30d, 0) as bigint) as like_count_30d,
    cast(
        greatest(
            floor(
                extract(epoch from (
                    moment.as_of - coalesce(accounts.signed_up_at, activity.first_event_at, moment.as_of)
                )) / 86400
            ),
            0
        ) as bigint
    ) as signup_days,
    coalesce(
        cast(activity.like_count_30d as double precision) / nullif(activity.review_count_30d, 0), 0
    ) as positive_ratio_30d,
    coalesce(activity.liked_video_ids, cast(array[] as uuid[])) as liked_video_ids,
    coalesce(activity.reviewed_video_ids, cast(array[] as uuid[])) as reviewed_video_ids,
    coalesce(activity.review_relevances, cast(array[] as double precision[])) as review_relevances,
    coalesce(preferred.preferred_makers, cast(array[] as text[])) as preferred_makers,
    coalesce(preferred.preferred_release_years, cast(array[] as text[])) as preferred_release_years,
    coalesce(preferred.preferred_title_tokens, cast(array[] as text[])) as preferred_title_tokens,
    coalesce(profiles.user_categories, cast(array[] as text[])) as user_categories
from accounts
cross join {{ as_of }} as moment
left join profiles on profiles.user_id = accounts.person_id
left join activity on activity.user_number = accounts.user_number
left join preferred on preferred.user_number = accounts.user_number
{% endmacro %}

{# Vocabulary -> the user feature that holds its tokens that the user likes most; of title tokens those of most likes times rarity. #}
{% macro preferred_features() %}
    {{ return({
        'tag': 'preferred_tag_ids', 'maker': 'preferred_makers', 'release_year': 'preferred_release_years',
        'title_token': 'preferred_title_tokens',
    }) }}
{% endmacro %}

{# The year of release as a token: it is a category, without an order. #}
{% macro release_year(released_on) -%}
    cast(cast(extract(year from {{ released_on }}) as integer) as text)
{%- endmacro %}
