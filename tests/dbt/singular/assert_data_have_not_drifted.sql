{{ config(severity='warn') }}
-- What has moved away from what the serving model was trained on: train anew, or look at what is delivered.

select
    tower,
    feature,
    measure,
    value,
    threshold
from {{ ref('drift') }}
where is_exceeded
