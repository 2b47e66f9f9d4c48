-- Training reviews only: a held-out review must not decide which videos have an index.
with tokens as (
    select cast(item_id as text) as token
    from {{ ref('interaction_splits') }}
    where split = 'train'
),

{{ append_to_vocabulary('video', 'tokens') }}
