{{ config(indexes=lookup_indexes(['user_id'])) }}

{{ feature_slots(ref('user_features'), 'user', 'user_id') }}
