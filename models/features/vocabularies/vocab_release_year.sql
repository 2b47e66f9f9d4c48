with tokens as (
    select release_year as token from {{ ref('item_features') }}
),

{{ append_to_vocabulary('release_year', 'tokens') }}
