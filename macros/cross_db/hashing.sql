{# The SHA-256 of a text, in hexadecimal. #}
{% macro sha256(text) -%}
    {{ return(adapter.dispatch('sha256')(text)) }}
{%- endmacro %}

{% macro postgres__sha256(text) -%}
    encode(sha256(convert_to({{ text }}, 'UTF8')), 'hex')
{%- endmacro %}

{% macro duckdb__sha256(text) -%}
    sha256({{ text }})
{%- endmacro %}


{# A number in [0, 1) that depends only on the text: the same on both engines and in every run. #}
{% macro hash_fraction(text) -%}
    (('x' || substr(md5({{ text }}), 1, 8))::bit(32)::bigint / 4294967296::double precision)
{%- endmacro %}
