{#
    Number of lists of an IVFFLAT index: twice the square root of the rows, at most 2,000 (ADR 16). None below 1,000 rows, where
    exact search is faster.
#}
{% macro ivfflat_lists(row_count) -%}
    {{ return([(2 * row_count ** 0.5) | int, 2000] | min if row_count >= 1000 else 0) }}
{%- endmacro %}


{#
    Least maintenance_work_mem for building an index. The k-means of pgvector keeps a bound per sampled row and list: 50 rows a
    list x 2,000 lists x 2,000 lists x 4 bytes = 800 MB (ADR 16).
#}
{% macro index_memory() -%}
1GB
{%- endmacro %}


{# Number of rows of a relation. #}
{% macro count_rows(relation) -%}
    {{ return(run_query('select count(*) from ' ~ relation).columns[0].values()[0] | int if execute else 0) }}
{%- endmacro %}


{# Pre-hook: drops the table that a refused release left, because it owns the names of the key and the index. #}
{% macro drop_refused() -%}
    {{ return(adapter.dispatch('drop_refused')()) }}
{%- endmacro %}

{# dbt-duckdb has looked for the old table before this hook and would miss it. Without a key and an index it is in nobody's way. #}
{% macro default__drop_refused() -%}
{%- endmacro %}

{% macro postgres__drop_refused() -%}
    {%- if execute -%}
        {%- do adapter.drop_relation(this.incorporate(type='table')) -%}
    {%- endif -%}
{%- endmacro %}


{# Post-hook of an embeddings table: adds its key, a check on later inserts, and its index. #}
{% macro index_embeddings(key) -%}
    {{ return(adapter.dispatch('index_embeddings')(key)) }}
{%- endmacro %}

{% macro default__index_embeddings(key) -%}
{%- endmacro %}

{% macro postgres__index_embeddings(key) -%}
    {%- set lists = ivfflat_lists(count_rows(this)) -%}
    {#- `not valid`: the rows that are there are audited by the tests, which say what is wrong with them. -#}
    alter table {{ this }} add constraint {{ this.identifier }}_pkey primary key ({{ key }});
    alter table {{ this }} add constraint unit_norm check ({{ vector_norm('embedding') }} between 0.99 and 1.01) not valid;
    alter table {{ this }} alter column embedding set storage plain;
    {% if lists > 0 -%}
    select set_config(
        'maintenance_work_mem',
        greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('{{ index_memory() }}')) / 1024 || 'kB',
        true
    );
    create index idx_{{ this.identifier | replace('_next', '') }}_cosine_next
        on {{ this }} using ivfflat (embedding halfvec_cosine_ops) with (lists = {{ lists }});
    {% endif -%}
    {#- It stays with the table through swaps and rollbacks: function served_version reads it. -#}
    do $$
    begin
        execute format(
            'comment on table {{ this }} is %L', 'Vectors of model version ' || {{ landed_version() }}
        );
    end $$;
    analyze {{ this }}
{%- endmacro %}
