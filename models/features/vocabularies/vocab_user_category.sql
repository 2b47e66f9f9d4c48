with tokens as (
    select token from {{ ref('stg_user_categories') }}
),

{{ append_to_vocabulary('user_category', 'tokens') }}
