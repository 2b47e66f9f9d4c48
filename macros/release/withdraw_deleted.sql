{#
    On run end, if `videos` was built: deletes the served vectors of videos that left the catalogue, so that they are no longer
    recommended, not even after a rollback. A catalogue that lacks most of the served videos is taken for a mistake, such as a
    truncated file: the vectors stay, because only a release would bring them back, and the test assert_catalogue_is_whole
    stops the run.
#}
{% macro withdraw_deleted_videos(results) -%}
    {%- set videos, served_now = ref('videos'), source('served', 'video_embeddings') -%}
    {%- set served_before = source('served', 'video_embeddings_previous') -%}
    {%- if execute and is_served() and was_built('videos', results) -%}
        {%- for served in (served_now, served_before) if load_relation(served) -%}
            {%- call statement('withdraw_deleted_videos') -%}
                {{ withdrawal(served, videos) }}
            {%- endcall -%}
            {#- dbt rolls back a transaction that a hook on run end leaves open. -#}
            {%- do adapter.commit() -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{% macro withdrawal(served, videos) -%}
delete from {{ served }} as served
where not exists (select 1 from {{ videos }} as videos where videos.video_id = served.video_id)
    and not exists ({{ removed_videos(served, videos) }})
{%- endmacro %}


{# Whether this command has built a model. #}
{% macro was_built(name, results) -%}
    {%- set built = results | selectattr('status', 'equalto', 'success') | map(attribute='node.unique_id') -%}
    {{ return('model.two_tower.' ~ name in built) }}
{%- endmacro %}


{# One row (served and removed videos) if the catalogue lacks more than var removed_share_ceiling of the served videos. #}
{% macro removed_videos(served, catalogue) -%}
select count(*) as served_count, count(*) - count(videos.video_id) as removed_count
from {{ served }} as every_one
left join {{ catalogue }} as videos on every_one.video_id = videos.video_id
having count(*) - count(videos.video_id) > {{ var('removed_share_ceiling') }} * count(*)
{%- endmacro %}
