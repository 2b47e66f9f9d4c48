-- One review dated in the future moves as_of there, and with it every 30-day window.
-- Correct the review's date, or set the var as_of.
{{ config(severity='warn') }}

select as_of
from {{ ref('int_as_of') }}
where as_of > {{ utc_timestamp(run_started_at) }} + interval '1 day'
