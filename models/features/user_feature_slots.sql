{{ feature_slots(ref('user_features'), 'user', 'user_id') }}
