{#
    On run start: deletes the record of finished steps, from which a run skips steps (python/two_tower/operations/step_cache.py).
    They may have read other tables than this command builds. A run that called dbt records its own build again afterwards.
#}
{% macro forget_finished_steps() -%}
    {%- set ledger = source('runs', 'finished_steps') -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() -%}
        {%- set rebuilt = [] -%}
        {%- for name in selected_resources if name.startswith('model.') and 'release' not in graph.nodes[name].tags -%}
            {%- do rebuilt.append(name) -%}
        {%- endfor -%}
        {%- if rebuilt and load_relation(ledger) is not none -%}
            {#- dbt rolls back a transaction that a hook on run start leaves open. -#}
            {%- do run_query('delete from ' ~ ledger) -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
