{#
    The page that a URL names, as text: scheme, default port, fragment, trailing slashes and tracking parameters
    (var tracking_parameters) dropped, the host in lower case, the rest as it stands.
    RE2 has no look-around, so each `&` of the query is doubled: then every parameter has an `&` of its own on
    either side, and removing one does not touch its neighbour.
#}
{% macro canonical_url(column) -%}
    {%- set names = [] -%}
    {%- for name in var('tracking_parameters') -%}
        {%- do names.append(modules.re.escape(name[:-1]) ~ '[^=&]*' if name.endswith('*') else modules.re.escape(name)) -%}
    {%- endfor -%}
    {%- set page = "regexp_replace(trim(" ~ column ~ "), '#[^\\n]*$', '')" -%}
    {%- set page = "regexp_replace(" ~ page ~ ", '^(https://[^/?]*):443([/?]|$)', '\\1\\2', 'i')" -%}
    {%- set page = "regexp_replace(" ~ page ~ ", '^(http://[^/?]*):80([/?]|$)', '\\1\\2', 'i')" -%}
    {%- set page = "regexp_replace(" ~ page ~ ", '^(https?:)?//', '', 'i')" -%}
    {%- set query = "replace(regexp_replace(" ~ page ~ ", '^[^?]*[?]?', ''), '&', '&&')" -%}
    {%- set query = "regexp_replace('&' || " ~ query ~ " || '&', '&(" ~ names | join('|') ~ ")(=[^&]*)?&', '', 'g')" -%}
    {%- set query = "trim(both '&' from regexp_replace(" ~ query ~ ", '&+', '&', 'g'))" -%}
    {#- Not lower(): outside ASCII it depends on the database's locale. -#}
    translate(
        regexp_replace({{ page }}, '[/?][^\n]*$', ''), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'
    )
    || regexp_replace(regexp_replace({{ page }}, '([?][^\n]*)$', ''), '^[^/]*|/+$', '', 'g')
    || regexp_replace('?' || {{ query }}, '^[?]$', '')
{%- endmacro %}
