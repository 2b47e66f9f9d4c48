{{ feature_slots(ref('training_user_features'), 'user', 'user_id') }}
