{#
    Rows of (lists, probes, recall, scanned_share): which share of the exact nearest 20 videos the index finds for a sample of
    users, for 1, 2, 3, 4, 6, 8, 11, … probes (ADR 11); the last row is exact search, without probes. The probes end at var
    index_recall_wanted, or at the floor if they read more than var index_scanned_share of the lists, or at half of the lists.
#}
{% macro measure_search(videos) -%}
    {{ return(adapter.dispatch('measure_search')(videos)) }}
{%- endmacro %}

{% macro default__measure_search(videos) -%}
    {{ return([exact_search('null')]) }}
{%- endmacro %}

{% macro postgres__measure_search(videos) -%}
    {%- set measured = [] -%}
    {%- if not execute or flags.WHICH not in ('build', 'run') -%}
        {{ return([exact_search('null')]) }}
    {%- endif -%}
    {%- set lists = ivfflat_lists(count_rows(videos)) -%}
    {%- if lists > 0 -%}
        {%- do run_query('set two_tower.index_recall_sample = ' ~ var('index_recall_sample')) -%}
        {%- do run_query(sql_file('exact_distances')) -%}
    {%- endif -%}
    {#- Steps of a factor of 1.4. -#}
    {%- for exponent in range(1, 41) -%}
        {%- set probes = (2 ** (exponent / 2)) | round | int -%}
        {%- set found = measured[-1]['recall'] if measured else 0 -%}
        {%- set is_enough = found >= var('index_recall_wanted')
            or (found >= var('index_recall_floor') and probes > var('index_scanned_share') * lists) -%}
        {%- if 2 * probes <= lists and not is_enough -%}
            {%- do run_query('set ivfflat.probes = ' ~ probes) -%}
            {%- set recall = run_query(sql_file('index_recall')).columns[0].values()[0] -%}
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
        " reset two_tower.index_recall_sample; drop table if exists pg_temp.exact_distances"
    ) -%}
    {%- endif -%}
    {%- do measured.append(exact_search(lists or 'null')) -%}
    {{ return(measured) }}
{%- endmacro %}


{% macro exact_search(lists) -%}
    {{ return({'lists': lists, 'probes': 'null', 'recall': 1.0, 'scanned_share': 1.0}) }}
{%- endmacro %}
