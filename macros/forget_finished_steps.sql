{#
    On run start: a run begins where its finished steps end (python/two_tower/operations/step_cache.py). What this command builds
    may be other than what they were finished on; the run that called it notes it down again when it is done.
#}
{% macro forget_finished_steps() -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() -%}
        {%- set rebuilt = [] -%}
        {%- for name in selected_resources if name.startswith('model.') and 'release' not in graph.nodes[name].tags -%}
            {%- do rebuilt.append(name) -%}
        {%- endfor -%}
        {%- set ledger = adapter.get_relation(database=target.database, schema='two_tower', identifier='finished_steps') -%}
        {%- if rebuilt and ledger is not none -%}
            {#- Committed here: dbt rolls back what its hooks leave open on run start. -#}
            {%- do run_query('delete from two_tower.finished_steps') -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
