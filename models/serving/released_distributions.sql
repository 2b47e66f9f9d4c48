{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail', full_refresh=false) }}

-- depends_on: {{ ref('promotion_checks') }}
with landed as {{ landed_version() }},

distributions as (
    select tower, feature, bin, row_count, width
    from {{ ref('distributions') }}
    where tower <> 'score'
    union all
    select 'score' as tower, 'cosine' as feature, bin, row_count, 0 as width
    from ({{ score_bins(ref('user_embeddings_next'), ref('video_embeddings_next')) }}) as scores
)

select
    landed.version,
    distributions.tower,
    distributions.feature,
    distributions.bin,
    cast(distributions.row_count as bigint) as row_count,
    cast(distributions.width as integer) as width
from distributions
cross join landed
{% if is_incremental() -%}
-- A version that is released again keeps the distributions of the data it was trained on.
where landed.version not in (select version from {{ this }})
{%- endif %}
