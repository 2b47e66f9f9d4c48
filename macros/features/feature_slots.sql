{#
    The features of one tower as slots: parallel arrays feature_ids, indices, values, ordered by feature_id and index.

    features: the relation, with one column per feature; key: its id. Nulls and tokens without an index have no slot, numbers
    have one even if they are 0. A row without slots has empty arrays.
#}
{% macro feature_slots(features, tower, key) %}
with features as (
    select * from {{ features }}
),

slots as (
    {%- for row in feature_layout_rows() if row.tower == tower %}
    {{ slots_of_feature(row, key) }}
    {{- 'union all' if not loop.last }}
    {%- endfor %}
),

packed as (
    {{ sorted_arrays('slots', key, {'feature_ids': 'feature_id', 'indices': 'index', 'values': 'value'}) }}
)

select
    features.{{ key }},
    {%- if tower == 'item' %}
    cast(row_number() over (order by features.{{ key }}) - 1 as integer) as item_number,
    {%- endif %}
    coalesce(packed.feature_ids, cast(array[] as smallint[])) as feature_ids,
    coalesce(packed.indices, cast(array[] as integer[])) as indices,
    coalesce(packed.values, cast(array[] as real[])) as values
from features
left join packed on packed.{{ key }} = features.{{ key }}
{% endmacro %}

{% macro slots_of_feature(row, key) %}
    {%- if row.kind == 'numeric' %}
    select
        {{ key }},
        cast({{ row.feature_id }} as smallint) as feature_id,
        0 as index,
        cast({{ 'ln(1 + cast(' ~ row.feature ~ ' as double precision))' if row.log1p else row.feature }} as real) as value
    from features
    where {{ row.feature }} is not null
    {%- elif row.kind == 'dense' %}
    select
        parts.{{ key }},
        cast({{ row.feature_id }} as smallint) as feature_id,
        cast(parts.place - 1 as integer) as index,
        cast(parts.value as real) as value
    from (
        select
            {{ key }},
            unnest({{ row.feature }}) as value,
            generate_subscripts({{ row.feature }}, 1) as place
        from features
    ) as parts
    {%- else %}
    {#- Videos are joined as uuids: casting 20,000 tokens is cheaper than casting every review. #}
    {%- set column = row.column | default(row.feature) %}
    {%- set column = column ~ '[1:' ~ row.latest ~ ']' if row.kind == 'recency' else column %}
    {%- set value = 1 %}
    {%- if row.kind == 'recency' %}
        {%- set value = 'exp(-(tokens.place - 1) / ' ~ row.decay ~ '.0::double precision)' %}
    {%- elif row.graded_by %}
        {%- set value = 'tokens.value' %}
    {%- elif row.by_rank %}
        {%- set value = 'ln(2 + cast(vocabulary.index as double precision))' %}
    {%- endif %}
    {%- set token = 'cast(vocabulary.token as uuid)' if row.vocabulary == 'video' else 'vocabulary.token' %}
    select
        tokens.{{ key }},
        cast({{ row.feature_id }} as smallint) as feature_id,
        vocabulary.index,
        cast({{ value }} as real) as value
    from (
        select
            {{ key }},
            {{ column if row.kind in ('one_hot', 'identity') else 'unnest(' ~ column ~ ')' }} as token
            {%- if row.kind == 'recency' %},
            generate_subscripts({{ column }}, 1) as place
            {%- elif row.graded_by %},
            unnest({{ row.graded_by }}) as value
            {%- endif %}
        from features
    ) as tokens
    inner join {{ ref('vocab_' ~ row.vocabulary) }} as vocabulary on {{ token }} = tokens.token
    {%- endif %}
{% endmacro %}
