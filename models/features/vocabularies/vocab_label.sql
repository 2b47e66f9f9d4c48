with tokens as (
    select label as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('label', 'tokens') }}
