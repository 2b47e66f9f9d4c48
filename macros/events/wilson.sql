{#
    The 95 % interval of a rate of so many among so many (Wilson 1927): it stays in 0..1, and says something of ten lists and of
    none that was clicked. Null where there are no trials.
#}
{% macro wilson(found, trials, side) -%}
    (({{ found }} + 1.920729::double precision {{ '-' if side == 'lower' else '+' }} 1.959964::double precision * sqrt(
        greatest({{ found }} * ({{ trials }} - {{ found }})::double precision / nullif({{ trials }}, 0) + 0.960365::double precision, 0)
    )) / nullif({{ trials }} + 3.841459::double precision, 3.841459::double precision))
{%- endmacro %}

{#
    A bound of the difference of two rates (Newcombe 1998, method 10), from their Wilson intervals: of columns RATE, RATE_lower and
    RATE_upper in two relations.
#}
{% macro difference_bound(rate, ours, theirs, side) -%}
    {%- set outer, inner = ('lower', 'upper') if side == 'lower' else ('upper', 'lower') -%}
    {{ ours }}.{{ rate }} - {{ theirs }}.{{ rate }} {{ '-' if side == 'lower' else '+' }} sqrt(
        power({{ ours }}.{{ rate }} - {{ ours }}.{{ rate }}_{{ outer }}, 2)
        + power({{ theirs }}.{{ rate }}_{{ inner }} - {{ theirs }}.{{ rate }}, 2)
    )
{%- endmacro %}
