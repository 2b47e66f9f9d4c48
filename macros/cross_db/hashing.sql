{# A number in 0..1 (1 excluded) that depends on the text alone: the same on both engines and in every run. #}
{% macro hash_fraction(text) -%}
    (('x' || substr(md5({{ text }}), 1, 8))::bit(32)::bigint / 4294967296::double precision)
{%- endmacro %}
