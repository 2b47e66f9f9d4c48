{# Lets var serving_roles call the functions, and read what the functions and the Recommender read. #}
{% macro grant_serving() -%}
{%- for role in var('serving_roles') %}
grant usage on schema two_tower to {{ adapter.quote(role) }};
grant select on public.user_embeddings, public.video_embeddings, two_tower.interactions, two_tower.popularity, two_tower.videos
    to {{ adapter.quote(role) }};
grant execute on function public.recommend_videos, public.similar_videos, public.recommend_for_vector
    to {{ adapter.quote(role) }};
{%- endfor %}
{%- endmacro %}


{# Config `grants` of the marts that the functions read: dbt rebuilds the tables, and grants again each time. #}
{% macro serving_grants() -%}
    {{ return({'select': var('serving_roles')} if var('serving_roles') and target.type == 'postgres' and is_served() else {}) }}
{%- endmacro %}
