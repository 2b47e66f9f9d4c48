{#
    Post-hook of `videos`: what left the catalogue is not recommended from here on, nor after a rollback. A catalogue that
    lacks most of what is served is a mistake, as after a file that was cut off: then the vectors stay, since nothing but a
    release would bring them back, and the test assert_catalogue_is_whole stops the run.
#}
{% macro withdraw_deleted_videos() -%}
    {%- if execute and is_served() -%}
        {%- for identifier in ('video_embeddings', 'video_embeddings_previous') -%}
            {%- if adapter.get_relation(target.database, 'public', identifier) -%}
    delete from public.{{ identifier }} as served
    where not exists (select 1 from {{ this }} as videos where videos.video_id = served.video_id)
        and not exists ({{ removed_videos(identifier, this) }});
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}


{# A row with the numbers of served and of removed videos where the catalogue lacks more than var removed_share_ceiling. #}
{% macro removed_videos(identifier, catalogue) -%}
select count(*) as served_count, count(*) - count(videos.video_id) as removed_count
from public.{{ identifier }} as every_one
left join {{ catalogue }} as videos on every_one.video_id = videos.video_id
having count(*) - count(videos.video_id) > {{ var('removed_share_ceiling') }} * count(*)
{%- endmacro %}
