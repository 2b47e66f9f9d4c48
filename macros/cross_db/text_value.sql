{#
    A text in NFC, without invisible characters at its ends, so that spellings that look the same are one value. The loader
    does the same to files (text_values.py, with the same ranges); this is for the app's tables and the app's questions.
#}
{% macro text_value(text) -%}
    {{ return(adapter.dispatch('text_value')(text)) }}
{%- endmacro %}

{% macro postgres__text_value(text) -%}
    {%- set ranges = [] -%}
    {%- for first, last in invisible_ranges() -%}
        {%- do ranges.append('\\u' ~ first ~ '-\\u' ~ last) -%}
    {%- endfor -%}
    regexp_replace(normalize({{ text }}, NFC), '^[{{ ranges | join }}]+|[{{ ranges | join }}]+$', '', 'g')
{%- endmacro %}

{% macro duckdb__text_value(text) -%}
    {%- set ranges = [] -%}
    {%- for first, last in invisible_ranges() -%}
        {%- do ranges.append('\\x{' ~ first ~ '}-\\x{' ~ last ~ '}') -%}
    {%- endfor -%}
    regexp_replace(nfc_normalize({{ text }}), '^[{{ ranges | join }}]+|[{{ ranges | join }}]+$', '', 'g')
{%- endmacro %}

{# White space, control characters, fillers, byte order marks, zero-width and bidirectional marks: first and last in hex. #}
{% macro invisible_ranges() -%}
    {{ return([
        ('0001', '0020'), ('007f', '00a0'), ('00ad', '00ad'), ('034f', '034f'), ('061c', '061c'), ('115f', '1160'),
        ('1680', '1680'), ('17b4', '17b5'), ('180e', '180e'), ('2000', '200f'), ('2028', '202f'), ('205f', '206f'),
        ('3000', '3000'), ('3164', '3164'), ('feff', 'feff'), ('ffa0', 'ffa0'), ('fff9', 'fffb'),
    ]) }}
{%- endmacro %}
