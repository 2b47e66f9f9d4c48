{{ config(indexes=lookup_indexes(['video_id'])) }}

{{ feature_slots(ref('item_features'), 'item', 'video_id') }}
