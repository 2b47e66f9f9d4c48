{# Schema names as configured, without the target's schema as prefix: other programs rely on `two_tower` and `public`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
