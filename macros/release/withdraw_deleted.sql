{#
    Post-hook of `videos`: what left the catalogue is not recommended from here on, nor after a rollback. A catalogue of
    nothing is a mistake: then the vectors stay.
#}
{% macro withdraw_deleted_videos() -%}
    {%- if execute and is_served() -%}
        {%- for identifier in ('video_embeddings', 'video_embeddings_previous') -%}
            {%- if adapter.get_relation(target.database, 'public', identifier) -%}
    delete from public.{{ identifier }} as served
    where not exists (select 1 from {{ this }} as videos where videos.video_id = served.video_id)
        and exists (select 1 from {{ this }});
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
