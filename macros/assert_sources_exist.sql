{# On Postgres the sources are made by `two-tower load`; say so, where dbt would only say "relation does not exist". #}
{% macro assert_sources_exist() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% set found = adapter.get_relation(database=target.database, schema='raw', identifier='reviews') %}
        {% if found is none %}
            {{ exceptions.raise_compiler_error("The table raw.reviews does not exist in this database: run `two-tower load` first.") }}
        {% endif %}
    {% endif %}
{% endmacro %}
