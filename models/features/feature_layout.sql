with layout as (
    {% for row in feature_layout_rows() %}
    select
        {{ row.feature_id }} as feature_id,
        '{{ row.tower }}' as tower,
        '{{ row.feature }}' as feature,
        '{{ row.kind }}' as kind,
        {{ row.position }} as position,
        {{ "'" ~ row.vocabulary ~ "'" if row.vocabulary else 'cast(null as text)' }} as vocabulary,
        '{{ row.column | default(row.feature) }}' as source_column,
        {{ "'" ~ row.graded_by ~ "'" if row.graded_by else 'cast(null as text)' }} as graded_by,
        {{ row.latest or (var('max_history_items') if row.kind == 'history' else 'cast(null as integer)') }} as latest,
        {{ row.decay or 'cast(null as integer)' }} as decay,
        {{ row.width or 'cast(null as integer)' }} as dense_width
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

vocabulary_sizes as (
    select vocabulary, count(*) as token_count
    from {{ ref('vocabularies') }}
    group by vocabulary
),

fingerprint as (
    select
        md5(string_agg(
            concat_ws(':', feature_id, tower, feature, kind, position, dense_width), '|' order by tower desc, position
        )) as layout_hash
    from layout
)

select
    cast(layout.feature_id as smallint) as feature_id,
    cast(layout.tower as text) as tower,
    cast(layout.feature as text) as feature,
    cast(layout.kind as text) as kind,
    cast(layout.position as integer) as position,
    cast(layout.vocabulary as text) as vocabulary,
    cast(
        case
            when layout.vocabulary is null then coalesce(layout.dense_width, 1)
            else coalesce(vocabulary_sizes.token_count, 0)
        end as integer
    ) as width,
    cast(fingerprint.layout_hash as text) as layout_hash,
    cast(layout.source_column as text) as source_column,
    cast(layout.graded_by as text) as graded_by,
    cast(layout.latest as integer) as latest,
    cast(layout.decay as integer) as decay
from layout
cross join fingerprint
left join vocabulary_sizes on vocabulary_sizes.vocabulary = layout.vocabulary
