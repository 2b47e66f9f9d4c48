{#
    The relevance of a review, in 0..1: its weight (stars / 5) squared. Lower ratings say something about taste too, but
    less: 4 stars count .64, 3 stars .36, 1 star .04 (ADR 14). Models are trained on it, so another power needs another
    feature_id.
#}
{% macro relevance(weight) -%}
    {{ weight }} * {{ weight }}
{%- endmacro %}
