with tokens as (
    select unnest(title_tokens) as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('title_token', 'tokens') }}
