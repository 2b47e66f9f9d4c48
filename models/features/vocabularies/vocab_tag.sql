with tokens as (
    select unnest(tag_ids) as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('tag', 'tokens') }}
