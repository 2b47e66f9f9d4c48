-- Why were rows of the review files not loaded? With the share of all rows, and where the first one is.
select
    reason, count(*) as row_count,
    count(*)::double precision / nullif((select sum(rows_read) from raw.review_files), 0)::double precision as share,
    (array_agg(file order by file, line))[1] as first_file, (array_agg(line order by file, line))[1] as first_line
from raw.rejected_reviews
group by reason
order by row_count desc, reason;
