with tokens as (
    select series as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('series', 'tokens') }}
