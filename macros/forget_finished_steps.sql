{#
    On run start: a run begins where its finished steps end (python/two_tower/operations/step_cache.py). What this command builds
    may be other than what they were finished on; the run that called it notes it down again when it is done.
#}
{% macro forget_finished_steps() -%}
    {%- set ledger = source('runs', 'finished_steps') -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() -%}
        {%- set rebuilt = [] -%}
        {%- for name in selected_resources if name.startswith('model.') and 'release' not in graph.nodes[name].tags -%}
            {%- do rebuilt.append(name) -%}
        {%- endfor -%}
        {%- if rebuilt and load_relation(ledger) is not none -%}
            {#- Committed here: dbt rolls back what its hooks leave open on run start. -#}
            {%- do run_query('delete from ' ~ ledger) -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
