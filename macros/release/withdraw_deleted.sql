{#
    Post-hook of `videos`: what left the catalogue is not recommended from here on, nor after a rollback. A catalogue that
    lacks more than half of what is served is a mistake, as after a file that was cut off: then the vectors stay, since
    nothing but a release would bring them back, and `two-tower refresh` says so.
#}
{% macro withdraw_deleted_videos() -%}
    {%- if execute and is_served() -%}
        {%- for identifier in ('video_embeddings', 'video_embeddings_previous') -%}
            {%- if adapter.get_relation(target.database, 'public', identifier) -%}
    delete from public.{{ identifier }} as served
    where not exists (select 1 from {{ this }} as videos where videos.video_id = served.video_id)
        and (
            select 2 * count(videos.video_id) >= count(*)
            from public.{{ identifier }} as every_one
            left join {{ this }} as videos on every_one.video_id = videos.video_id
        );
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
