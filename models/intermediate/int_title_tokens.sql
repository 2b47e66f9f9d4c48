-- Words where a language has spaces between them, pairs of characters where it has none, numbers apart from both.
with titles as (
    select
        video_id,
        {{ comparable_text("translate(title, '''’', '')") }} as title
    from {{ ref('int_videos') }}
    where is_first_of_page and title is not null
),

runs as (
    select
        video_id,
        {{ matches('title', '[0-9]+|' ~ unspaced_letters() ~ '+|' ~ spaced_letters() ~ '+') }} as run
    from titles
),

classified as (
    select distinct
        video_id,
        case when run ~ '^[0-9]' then coalesce(nullif(ltrim(run, '0'), ''), '0') else run end as run,
        case when run ~ '^{{ unspaced_letters() }}' then greatest(length(run) - 1, 1) end as pair_count
    from runs
),

tokens as (
    select
        video_id,
        run as token
    from classified
    where pair_count is null
    union
    select
        classified.video_id,
        substr(classified.run, cast(places.place as integer), 2) as token
    from classified
    inner join generate_series(1, (select max(pair_count) from classified)) as places (place)
        on places.place <= classified.pair_count
),

frequencies as (
    select
        token,
        count(*) as video_count
    from tokens
    group by token
    having count(*) >= {{ least_count('title_token') }}
),

size as (
    select count(*) as video_count
    from titles
)

-- In thousandths: sums of whole numbers are the same in any order. What every title has says nothing.
select
    tokens.video_id,
    tokens.token,
    cast(round(1000 * ln(cast(size.video_count as double precision) / frequencies.video_count)) as integer) as rarity
from tokens
inner join frequencies on tokens.token = frequencies.token
cross join size
where frequencies.video_count < size.video_count
