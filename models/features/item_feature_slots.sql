{{ feature_slots(ref('item_features'), 'item', 'video_id') }}
