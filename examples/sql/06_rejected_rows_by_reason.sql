-- Why were rows of the review files refused?
--
-- One row per reason, with the place and the text of the first such row. A reason that fills one file and no
-- other points at how that file was exported.
with numbered as (
    select
        reason,
        file,
        line,
        row_text,
        row_number() over (
            partition by reason
            order by
                file collate "C",
                line
        ) as position
    from two_tower.stg_rejected_reviews
)

select
    reason,
    count(*) as row_count,
    count(distinct file) as file_count,
    max(file) filter (where position = 1) as first_file,
    max(line) filter (where position = 1) as first_line,
    max(row_text) filter (where position = 1) as first_row
from numbered
group by reason
order by
    row_count desc,
    reason collate "C";
