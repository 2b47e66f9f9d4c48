-- Widths are counts: an index at or beyond its vocabulary's size would fall into the next feature.
select vocabulary, min(index) as lowest_index, max(index) as highest_index, count(*) as token_count
from {{ ref('vocabularies') }}
group by vocabulary
having min(index) <> 0 or max(index) <> count(*) - 1
