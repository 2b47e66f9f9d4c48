{# The var text_embedding_width, a whole number from 0. #}
{% macro text_embedding_width() -%}
    {%- set given = var('text_embedding_width') -%}
    {%- if given is boolean or not given is integer or given < 0 -%}
        {{ exceptions.raise_compiler_error(
            "var text_embedding_width is " ~ given ~ ": write how many numbers a vector has, such as 768, or 0 for no vectors."
        ) }}
    {%- endif -%}
    {{ return(given) }}
{%- endmacro %}
