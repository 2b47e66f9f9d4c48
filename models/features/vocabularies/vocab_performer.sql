with tokens as (
    select unnest(performer_ids) as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('performer', 'tokens') }}
