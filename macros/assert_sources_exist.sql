{# On run start: raises with the command to run, because dbt would only say "relation does not exist". #}
{% macro assert_sources_exist() %}
    {% set reviews = source('raw', 'reviews') %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% if load_relation(reviews) is none %}
            {{ exceptions.raise_compiler_error("The table raw.reviews does not exist in this database: run `two-tower load` first.") }}
        {% endif %}
    {% endif %}
{% endmacro %}
