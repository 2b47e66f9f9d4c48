{# New tables and functions are nobody's but their owner's, whatever the database hands out by default. #}
{% macro withhold_default_privileges() -%}
do $$
declare
    item record;
begin
    for item in
        select 'function ' || p.oid::regprocedure as target, a.grantee
        from pg_proc as p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner
            and p.proname in ('recommend_videos', 'similar_videos', 'recommend_for_vector')
        union
        select 'table ' || c.oid::regclass, a.grantee
        from pg_class as c cross join lateral aclexplode(c.relacl) as a
        where c.oid in ('public.user_embeddings'::regclass, 'public.video_embeddings'::regclass)
            and a.grantee <> c.relowner
    loop
        execute format(
            'revoke all on %s from %s', item.target,
            case item.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(item.grantee)) end
        );
    end loop;
end $$;
{%- endmacro %}


{# What var serving_roles may do: call the functions, and read what they and the Recommender read. #}
{% macro grant_serving() -%}
{%- for role in var('serving_roles') %}
grant usage on schema two_tower to {{ adapter.quote(role) }};
grant select on public.user_embeddings, public.video_embeddings, two_tower.interactions, two_tower.popularity, two_tower.videos
    to {{ adapter.quote(role) }};
grant execute on function public.recommend_videos, public.similar_videos, public.recommend_for_vector
    to {{ adapter.quote(role) }};
{%- endfor %}
{%- endmacro %}


{# Config of the marts that the functions read: dbt makes them anew each time, and grants with them. #}
{% macro serving_grants() -%}
    {{ return({'select': var('serving_roles')} if var('serving_roles') and target.type == 'postgres' and is_served() else {}) }}
{%- endmacro %}
