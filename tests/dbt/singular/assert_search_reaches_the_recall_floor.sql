-- One way to search is chosen, and it finds what exact search finds.

select
    count(*) as chosen_count,
    min(recall) as recall
from {{ ref('index_measurements') }}
where is_chosen
having count(*) <> 1 or min(recall) < {{ var('index_recall_floor') }}
