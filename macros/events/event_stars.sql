{#
    What an event counts in stars, by var event_weights: a like is a review of 5 stars, a video that was half watched one of
    2.5, a dislike one of none. Null of a kind that counts nothing.
#}
{% macro event_stars(kind, weight) -%}
    {%- set weights = var('event_weights') -%}
    {%- for name in weights if "'" ~ name ~ "'" not in counting_kinds() -%}
        {{ exceptions.raise_compiler_error(
            "var event_weights names '" ~ name ~ "'; what may count is " ~ counting_kinds()
        ) }}
    {%- endfor -%}
    case {{ kind }}
        {%- for name, share in weights.items() %}
        when '{{ name }}' then 5 * {{ share }}::double precision * coalesce({{ weight }}, 1)
        {%- endfor %}
    end::double precision
{%- endmacro %}

{# What a user does, as a list of SQL. That something was shown is nothing that its user did. #}
{% macro counting_kinds() -%}
    'click', 'view', 'like', 'dislike', 'purchase'
{%- endmacro %}
