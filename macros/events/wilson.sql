{#
    A bound of the 95 % interval of the rate found / trials (Wilson 1927). It stays within 0..1, also of ten trials and
    where none is found. Null without trials.
#}
{% macro wilson(found, trials, side) -%}
    (({{ found }} + 1.920729::double precision {{ '-' if side == 'lower' else '+' }} 1.959964::double precision * sqrt(
        greatest({{ found }} * ({{ trials }} - {{ found }})::double precision / nullif({{ trials }}, 0) + 0.960365::double precision, 0)
    )) / nullif({{ trials }} + 3.841459::double precision, 3.841459::double precision))
{%- endmacro %}

{#
    A bound of the 95 % interval of the difference of two rates (Newcombe 1998, method 10), from their Wilson intervals:
    columns RATE, RATE_lower and RATE_upper of two relations.
#}
{% macro difference_bound(rate, ours, theirs, side) -%}
    {%- set outer, inner = ('lower', 'upper') if side == 'lower' else ('upper', 'lower') -%}
    {{ ours }}.{{ rate }} - {{ theirs }}.{{ rate }} {{ '-' if side == 'lower' else '+' }} sqrt(
        power({{ ours }}.{{ rate }} - {{ ours }}.{{ rate }}_{{ outer }}, 2)
        + power({{ theirs }}.{{ rate }}_{{ inner }} - {{ theirs }}.{{ rate }}, 2)
    )
{%- endmacro %}
