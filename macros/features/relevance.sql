{#
    How relevant a review is, in 0..1: its weight (stars / 5) squared. That something was watched and not liked tells a
    taste too, though less of it: 4 stars count .64, 3 stars .36, 1 star .04. Models read it: another power is another
    feature_id.
#}
{% macro relevance(weight) -%}
    {{ weight }} * {{ weight }}
{%- endmacro %}
