{#
    A condition on the name of a category of users: it is not among those that var left_out_user_categories names, in any
    spelling.
#}
{% macro is_not_left_out(name) -%}
    {%- set given, names = var('left_out_user_categories') or [], [] -%}
    {%- if given is string or given is mapping -%}
        {{ exceptions.raise_compiler_error("var left_out_user_categories is " ~ given ~ ": write a list of names.") }}
    {%- endif -%}
    {%- for each in given -%}
        {%- do names.append("lower(" ~ text_value("'" ~ each | string | replace("'", "''") ~ "'") ~ ")") -%}
    {%- endfor -%}
    {%- if names -%}
        lower({{ name }}) not in ({{ names | join(', ') }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
