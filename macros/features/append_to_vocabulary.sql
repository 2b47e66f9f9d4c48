{#
    The rows to append to a vocabulary: new tokens, with the next free indices.

    tokens: name of a CTE with a column `token`, one row per occurrence. The most frequent token comes first, ties by
    code point, so that both engines give the same indices. Without entries in vars vocabulary_min_count and
    vocabulary_max_size, a token needs 2 occurrences and the vocabulary holds at most 5,000.
#}
{% macro append_to_vocabulary(vocabulary, tokens) %}
    {%- set max_size = var('vocabulary_max_size').get(vocabulary, 5000) -%}
as_of as (
    select as_of from {{ ref('int_as_of') }}
),

known as (
    {% if is_incremental() -%}
    select token, index from {{ this }}
    {%- else -%}
    select cast(null as text) as token, cast(null as integer) as index where false
    {%- endif %}
),

size as (
    select coalesce(max(index) + 1, 0) as token_count from known
),

candidates as (
    select token, count(*) as occurrence_count
    from {{ tokens }}
    -- Postgres cannot index much longer tokens. The loader refuses them in files; the app's own tables may have some.
    where length(token) <= 500
    group by token
    having count(*) >= {{ least_count(vocabulary) }}
),

additions as (
    select
        candidates.token,
        row_number() over (
            order by candidates.occurrence_count desc, {{ byte_order('candidates.token') }}
        ) as place
    from candidates
    left join known on known.token = candidates.token
    where known.token is null
)

select
    additions.token,
    cast(size.token_count + additions.place - 1 as integer) as index,
    as_of.as_of as added_at
from additions
cross join size
cross join as_of
where size.token_count + additions.place <= {{ max_size }}
{% endmacro %}

{# From how many occurrences on a token enters a vocabulary. #}
{% macro least_count(vocabulary) -%}
    {{ var('vocabulary_min_count').get(vocabulary, 2) }}
{%- endmacro %}
