with tokens as (
    select source as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('source', 'tokens') }}
