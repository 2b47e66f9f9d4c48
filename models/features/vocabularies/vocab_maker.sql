with tokens as (
    select maker as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('maker', 'tokens') }}
