{#
    A text in one spelling: compatibility forms (full width, half width, circled numbers) and letter case are one. DuckDB has no NFKC:
    the plugin of profiles.yml gives it `nfkc`.
#}
{% macro comparable_text(text) -%}
    {{ return(adapter.dispatch('comparable_text')(text)) }}
{%- endmacro %}

{% macro duckdb__comparable_text(text) -%}
    lower(nfkc({{ text }}))
{%- endmacro %}

{% macro postgres__comparable_text(text) -%}
    {%- set collation = letter_case_collation() -%}
    {#- Back to the database's own, or the tokens could not be compared with those of other columns. -#}
    lower(normalize({{ text }}, NFKC){{ ' collate ' ~ collation if collation }}) collate "default"
{%- endmacro %}

{# A collation that knows the case of all letters: a database of locale C knows that of ASCII. None where the server has none. #}
{% macro letter_case_collation() -%}
    {%- if not execute -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set names = "array['pg_c_utf8', 'und-x-icu', 'C.utf8', 'en_US.utf8']" -%}
    {%- set found = run_query(
        "select 'pg_catalog.' || quote_ident(collname) from pg_catalog.pg_collation"
        " where collname = any(" ~ names ~ ") and collnamespace = 'pg_catalog'::regnamespace"
        " and collencoding in (-1, 6) order by array_position(" ~ names ~ ", collname::text) limit 1"
    ) -%}
    {{ return(found.columns[0].values()[0] if found | length > 0 else none) }}
{%- endmacro %}


{# All matches of a regular expression without groups, a row each. #}
{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches')(text, pattern)) }}
{%- endmacro %}

{% macro duckdb__matches(text, pattern) -%}
    unnest(regexp_extract_all({{ text }}, '{{ pattern }}'))
{%- endmacro %}

{% macro postgres__matches(text, pattern) -%}
    (regexp_matches({{ text }}, '{{ pattern }}', 'g'))[1]
{%- endmacro %}


{# A class of a regular expression, of ranges of code points in hex. #}
{% macro character_class(ranges) -%}
    {%- set parts = [] -%}
    {%- for first, last in ranges -%}
        {%- if target.type == 'duckdb' -%}
            {%- do parts.append('\\x{' ~ first ~ '}-\\x{' ~ last ~ '}') -%}
        {%- else -%}
            {%- do parts.append('\\u' ~ first ~ '-\\u' ~ last) -%}
        {%- endif -%}
    {%- endfor -%}
    [{{ parts | join }}]
{%- endmacro %}

{# Scripts without a space between words: kana and kanji with their marks of repetition and length, Thai, Lao, Burmese, Khmer. #}
{% macro unspaced_letters() -%}
    {{ character_class([
        ('3005', '3007'), ('3041', '3096'), ('309d', '309f'), ('30a1', '30fa'), ('30fc', '30ff'), ('3400', '4dbf'), ('4e00', '9fff'),
        ('f900', 'faff'), ('0e01', '0e4e'), ('0e81', '0ece'), ('1000', '104f'), ('1780', '17d3'),
    ]) }}
{%- endmacro %}

{# Letters of all other scripts and their accents: Latin, Greek, Cyrillic, Hebrew, Arabic, those of India, Georgian, Hangul, Ethiopic. #}
{% macro spaced_letters() -%}
    {{ character_class([
        ('0061', '007a'), ('00df', '00f6'), ('00f8', '02af'), ('0300', '036f'), ('0370', '0373'), ('0376', '037d'), ('0386', '0386'),
        ('0388', '0481'), ('0483', '0556'), ('0561', '0587'), ('05d0', '05f2'), ('0620', '065f'), ('066e', '06d3'), ('06fa', '06fc'),
        ('0900', '0963'), ('0971', '0df3'), ('0f00', '0f00'), ('0f40', '0fbc'), ('10a0', '1360'), ('1380', '139f'), ('1e00', '1fbc'),
        ('1fc2', '1fcc'), ('1fd0', '1fdb'), ('1fe0', '1fec'), ('1ff2', '1ffc'), ('ac00', 'd7ff'),
    ]) }}
{%- endmacro %}
