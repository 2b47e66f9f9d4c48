{#
    Last post-hook of model_releases, in the transaction of the swap: the app's question, for a user with a vector and for an
    unknown one. Without an answer the swap is rolled back, with the app's functions. Only two questions, because readers wait
    until it commits.
#}
{% macro smoke_test() -%}
    {{ return(adapter.dispatch('smoke_test')()) }}
{%- endmacro %}

{% macro postgres__smoke_test() -%}
    {{ sql_file('smoke_test') }}
{%- endmacro %}

{% macro duckdb__smoke_test() -%}
    {% for asked in ('(select min(users.user_id) from public.user_embeddings as users)', "'nobody has this name'") -%}
    select case when count(*) = 0 then error('recommend_videos would have no answer: nothing was released') end
    from public.recommend_videos({{ asked }}) as answer
    inner join two_tower.videos as videos on videos.video_id = answer.video_id;
    {% endfor -%}
{%- endmacro %}
