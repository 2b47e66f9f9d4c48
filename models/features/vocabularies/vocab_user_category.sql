with tokens as (
    select distinct
        user_id,
        token
    from {{ ref('stg_user_categories') }}
),

{{ append_to_vocabulary('user_category', 'tokens') }}
