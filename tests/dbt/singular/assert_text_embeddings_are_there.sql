{{ config(severity='warn') }}
-- The var text_embedding_width asks for text embeddings, and no video of the catalogue has one.
select {{ text_embedding_width() }} as text_embedding_width
where {{ text_embedding_width() }} > 0
    and not exists (
        select 1 from {{ ref('item_features') }} where {{ array_size('text_embedding') }} > 0
    )
