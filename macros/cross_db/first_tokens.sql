{#
    A select of one row per user_number: for each kind of `features` (kind: feature) an array of its `most` tokens, least standing
    first, null where the user has none.

    DuckDB sorts anew for each ordered array_agg, which here takes half of the time of the whole: there only the least standings are
    kept, and a token is read at the place that its number gives among all of them.
#}
{% macro first_tokens(standings, tokens, features, most) -%}
    {{ return(adapter.dispatch('first_tokens')(standings, tokens, features, most)) }}
{%- endmacro %}

{% macro default__first_tokens(standings, tokens, features, most) -%}
    select
        user_number
        {%- for kind, feature in features.items() %},
        (array_agg(token order by standing) filter (where kind = '{{ kind }}'))[1:{{ most }}] as {{ feature }}
        {%- endfor %}
    from {{ standings }}
    group by user_number
{%- endmacro %}

{% macro duckdb__first_tokens(standings, tokens, features, most) -%}
    select
        user_number
        {%- for feature in features.values() %},
        list_transform({{ feature }}, lambda standing: every_one.tokens[standing & 1073741823]) as {{ feature }}
        {%- endfor %}
    from (
        select
            user_number
            {%- for kind, feature in features.items() %},
            min(standing, {{ most }}) filter (where kind = '{{ kind }}') as {{ feature }}
            {%- endfor %}
        from {{ standings }}
        group by user_number
    ) as least
    cross join (select array_agg(token order by token_number) as tokens from {{ tokens }}) as every_one
{%- endmacro %}

{#
    Orders by falling amount, then by token_number, as one integer: it sorts faster than two columns do. The last 30 bits are those of
    token_number, which is 1 or more. A bigint holds the amount: a sum of a billion likes would fail, not wrap.
#}
{% macro standing(amount, token_number) -%}
    {{ token_number }} - {{ amount }} * 1073741824
{%- endmacro %}
