{#
    The value of an event in stars, by var event_weights: a like equals a review of 5 stars, a half-watched video one of
    2.5, a dislike one of 0. Null for a kind that does not count.
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

{# The kinds of user actions, as a list of SQL. An impression is no action of the user. #}
{% macro counting_kinds() -%}
    'click', 'view', 'like', 'dislike', 'purchase'
{%- endmacro %}
