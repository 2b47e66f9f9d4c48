{#
    The fold of a training review, 0 to 9, from `position`, its place in order of `split_order()` among the `size`
    reviews of its user in the split. A model is chosen on fold 0, which is held out in the way of the split: where the
    split asks what comes next, fold 0 is each user's latest tenth, at most ten reviews, so that those just before it
    are still known.
#}
{% macro fold_of_position() -%}
    {%- if splits_by_time() -%}
    case when position < least(ceil(size / 10.0), 10) then 0 else 1 + position % 9 end
    {%- else -%}
    position % 10
    {%- endif -%}
{%- endmacro %}

{% macro split_order() -%}
    {{ 'occurred_at desc, ' if splits_by_time() }}draw, video_id
{%- endmacro %}

{% macro splits_by_time() -%}
    {{ return(var('split_strategy') in ('temporal', 'leave_last_out')) }}
{%- endmacro %}
