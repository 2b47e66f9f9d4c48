{#
    Rows of (lists, probes, recall, scanned_share): how many of the exact nearest 20 videos the index finds for a sample of
    users, for 1, 2, 3, 4, 6, 8, 11, … probes until what is wanted is found, or the floor is reached with more than the share of the
    lists that may be read, or half the lists are read; then exact search, without probes.
    A video as near as the 20th counts as found, whichever of equals it is.
#}
{% macro measure_search(users, videos) -%}
    {{ return(adapter.dispatch('measure_search')(users, videos)) }}
{%- endmacro %}

{% macro default__measure_search(users, videos) -%}
    {{ return([exact_search('null')]) }}
{%- endmacro %}

{% macro postgres__measure_search(users, videos) -%}
    {%- set measured = [] -%}
    {%- if not execute or flags.WHICH not in ('build', 'run') -%}
        {{ return([exact_search('null')]) }}
    {%- endif -%}
    {%- set lists = ivfflat_lists(count_rows(videos)) -%}
    {%- if lists > 0 -%}
        {%- do run_query(exact_distances(users, videos)) -%}
    {%- endif -%}
    {#- Steps of a factor of 1.4. -#}
    {%- for exponent in range(1, 41) -%}
        {%- set probes = (2 ** (exponent / 2)) | round | int -%}
        {%- set found = measured[-1]['recall'] if measured else 0 -%}
        {%- set is_enough = found >= var('index_recall_wanted')
            or (found >= var('index_recall_floor') and probes > var('index_scanned_share') * lists) -%}
        {%- if 2 * probes <= lists and not is_enough -%}
            {%- set recall = run_query(search_recall(videos, probes)).columns[0].values()[0] -%}
            {%- if recall is not none -%}
                {%- do measured.append({
                    'lists': lists, 'probes': probes, 'recall': recall | float, 'scanned_share': probes / lists
                }) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if lists > 0 -%}
    {%- do run_query(
        "reset enable_indexscan; reset enable_seqscan; reset ivfflat.probes; reset ivfflat.iterative_scan;"
        " drop table if exists pg_temp.exact_distances"
    ) -%}
    {%- endif -%}
    {%- do measured.append(exact_search(lists or 'null')) -%}
    {{ return(measured) }}
{%- endmacro %}


{% macro exact_search(lists) -%}
    {{ return({'lists': lists, 'probes': 'null', 'recall': 1.0, 'scanned_share': 1.0}) }}
{%- endmacro %}


{# Statements: for each user of the sample, the distance of the 20th nearest video by exact search. #}
{% macro exact_distances(users, videos) -%}
    {%- set distance = 'operator(' ~ pgvector_schema() ~ '.<=>)' -%}
    drop table if exists pg_temp.exact_distances;
    set enable_indexscan = off;
    create temporary table exact_distances as
    with sample as (
        select user_id, embedding
        from {{ users }}
        order by md5(user_id), user_id
        limit {{ var('index_recall_sample') }}
    )
    select
        sample.user_id,
        sample.embedding,
        max(nearest.distance) as farthest,
        count(*) as video_count
    from sample
    cross join lateral (
        select videos.embedding {{ distance }} sample.embedding as distance
        from {{ videos }} as videos
        order by videos.embedding {{ distance }} sample.embedding
        limit 20
    ) as nearest
    group by sample.user_id, sample.embedding
{%- endmacro %}


{# Statements, the last of them the recall of the index at a number of probes, searched as recommend_videos does. #}
{% macro search_recall(videos, probes) -%}
    {%- set distance = 'operator(' ~ pgvector_schema() ~ '.<=>)' -%}
    set enable_indexscan = on;
    set enable_seqscan = off;
    set ivfflat.probes = {{ probes }};
    set ivfflat.iterative_scan = 'relaxed_order';
    with found as (
        select
            exact_distances.user_id,
            exact_distances.video_count,
            (
                select count(*)
                from (
                    select taken.distance
                    from (
                        select videos.embedding {{ distance }} exact_distances.embedding as distance
                        from {{ videos }} as videos
                        order by videos.embedding {{ distance }} exact_distances.embedding
                        limit {{ taken_for('20') }}
                    ) as taken
                    order by taken.distance + 0
                    limit 20
                ) as nearest
                where nearest.distance <= exact_distances.farthest + 1e-9
            ) as found_count
        from pg_temp.exact_distances
    )
    select sum(found_count)::double precision / sum(video_count) as recall
    from found
{%- endmacro %}
