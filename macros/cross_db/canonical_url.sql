{#
    The page that a URL names, as text: scheme, default port, fragment, trailing slashes and tracking parameters
    (var tracking_parameters) dropped, the host in lower case, the rest as it stands.
    column: of readable_url, in a CTE of its own that is materialized, for it is read three times here.
    RE2 has no look-around, so each `&` of the query is doubled: then every parameter has an `&` of its own on
    either side, and removing one does not touch its neighbour.
#}
{% macro canonical_url(column) -%}
    {%- set names = [] -%}
    {%- for name in var('tracking_parameters') -%}
        {%- do names.append(modules.re.escape(name[:-1]) ~ '[^=&]*' if name.endswith('*') else modules.re.escape(name)) -%}
    {%- endfor -%}
    {%- set page = "regexp_replace(" ~ column ~ ", '#[^\\n]*$', '')" -%}
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


{#
    A URL with its percent-encoding made one. RFC 3986, 6.2.2: `%7e` is `~`, which needs no encoding; `%2f` is `%2F` and not
    `/`. RFC 3987: `%e3%81%8c` is `が`, where the bytes are UTF-8; others, as of EUC-JP, stay encoded.
    `&amp;` is what HTML makes of `&`, and a scraper may leave.
    The URL is cut into pieces: a run of what needs no encoding, another encoded byte, or what is between. Most have nothing
    encoded and are not cut.
#}
{% macro readable_url(url) -%}
    {{ text_value(adapter.dispatch('decoded_url')("replace(" ~ url ~ ", '&amp;', '&')")) }}
{%- endmacro %}

{% macro postgres__decoded_url(url) -%}
    case when {{ url }} ~ '%' then (
        select string_agg(
            case
                when piece[1] ~ '^{{ needlessly_encoded() }}$' then convert_from(decode(replace(piece[1], '%', ''), 'hex'), 'UTF8')
                when piece[1] ~ '^%..' then upper(piece[1])
                else piece[1]
            end,
            '' order by place
        )
        from regexp_matches({{ url }}, '{{ needlessly_encoded() }}|%[0-9A-Fa-f]{2}|%|[^%]+', 'g') with ordinality as pieces (piece, place)
    ) else {{ url }} end
{%- endmacro %}

{% macro duckdb__decoded_url(url) -%}
    case when contains({{ url }}, '%') then array_to_string(list_transform(
        regexp_extract_all({{ url }}, '{{ needlessly_encoded() }}|%[0-9A-Fa-f]{2}|%|[^%]+'),
        lambda piece: case
            when regexp_full_match(piece, '{{ needlessly_encoded() }}') then url_decode(piece)
            when regexp_full_match(piece, '%..') then upper(piece)
            else piece
        end
    ), '') else {{ url }} end
{%- endmacro %}

{# A run of encoded characters that need no encoding: the unreserved ones of ASCII, and those beyond it in valid UTF-8. #}
{% macro needlessly_encoded() -%}
    {%- set next = '%[89ABab][0-9A-Fa-f]' -%}
    {%- set characters = [
        '%(?:2[DEde]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AFaf]|7[0-9AEae])',
        '%(?:[Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f])' ~ next,
        '%[Ee]0%[ABab][0-9A-Fa-f]' ~ next,
        '%[Ee][1-9A-CE-Fa-ce-f](?:' ~ next ~ '){2}',
        '%[Ee][Dd]%[89][0-9A-Fa-f]' ~ next,
        '%[Ff]0%[9ABab][0-9A-Fa-f](?:' ~ next ~ '){2}',
        '%[Ff][1-3](?:' ~ next ~ '){3}',
        '%[Ff]4%8[0-9A-Fa-f](?:' ~ next ~ '){2}',
    ] -%}
    (?:{{ characters | join('|') }})+
{%- endmacro %}
