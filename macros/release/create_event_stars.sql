{# The function by which a call knows what an event counts: var event_weights, as the next build reads it. #}
{% macro create_event_stars() -%}
create or replace function two_tower.event_stars(p_kind text, p_weight real) returns double precision
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return {{ event_stars('p_kind', 'p_weight') }};
{%- endmacro %}
