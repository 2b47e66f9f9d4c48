{#
    Every feature, in one place. `feature` is the column of user_features or item_features that holds it (or `column` is),
    `vocabulary` the vocab_ model that numbers its tokens. A numeric feature is taken as it is, or as
    ln(1 + value) with `log1p`. A token counts 1, or what stands at its place in the column `graded_by`. Of
    a recency feature count the `latest` tokens: the first has 1, and every `decay` further places divide it by e.

    A feature_id is never reused: a feature whose meaning changes is a new feature with a new id.
#}
{% macro feature_layout_rows() %}
    {% set rows = [
        {'feature_id': 1, 'tower': 'user', 'position': 0, 'feature': 'preferred_tag_ids', 'kind': 'multi_hot', 'vocabulary': 'tag'},
        {'feature_id': 2, 'tower': 'user', 'position': 1, 'feature': 'like_count_30d', 'kind': 'numeric', 'log1p': true},
        {'feature_id': 3, 'tower': 'user', 'position': 2, 'feature': 'signup_days', 'kind': 'numeric', 'log1p': true},
        {'feature_id': 4, 'tower': 'user', 'position': 3, 'feature': 'positive_ratio_30d', 'kind': 'numeric'},
        {'feature_id': 10, 'tower': 'user', 'position': 4, 'feature': 'relevant_video_ids', 'kind': 'history', 'vocabulary': 'video', 'column': 'reviewed_video_ids', 'graded_by': 'review_relevances'},
        {'feature_id': 6, 'tower': 'user', 'position': 5, 'feature': 'reviewed_video_ids', 'kind': 'history', 'vocabulary': 'video'},
        {'feature_id': 7, 'tower': 'user', 'position': 6, 'feature': 'preferred_makers', 'kind': 'multi_hot', 'vocabulary': 'maker'},
        {'feature_id': 8, 'tower': 'user', 'position': 7, 'feature': 'preferred_release_years', 'kind': 'multi_hot', 'vocabulary': 'release_year'},
        {'feature_id': 9, 'tower': 'user', 'position': 8, 'feature': 'recent_video_ids', 'kind': 'recency', 'vocabulary': 'video', 'column': 'reviewed_video_ids', 'latest': 30, 'decay': 5},
        {'feature_id': 101, 'tower': 'item', 'position': 0, 'feature': 'source', 'kind': 'one_hot', 'vocabulary': 'source'},
        {'feature_id': 102, 'tower': 'item', 'position': 1, 'feature': 'maker', 'kind': 'one_hot', 'vocabulary': 'maker'},
        {'feature_id': 103, 'tower': 'item', 'position': 2, 'feature': 'label', 'kind': 'one_hot', 'vocabulary': 'label'},
        {'feature_id': 104, 'tower': 'item', 'position': 3, 'feature': 'series', 'kind': 'one_hot', 'vocabulary': 'series'},
        {'feature_id': 105, 'tower': 'item', 'position': 4, 'feature': 'tag_ids', 'kind': 'multi_hot', 'vocabulary': 'tag'},
        {'feature_id': 106, 'tower': 'item', 'position': 5, 'feature': 'performer_ids', 'kind': 'multi_hot', 'vocabulary': 'performer'},
        {'feature_id': 107, 'tower': 'item', 'position': 6, 'feature': 'price', 'kind': 'numeric', 'log1p': true},
        {'feature_id': 108, 'tower': 'item', 'position': 7, 'feature': 'video_id', 'kind': 'identity', 'vocabulary': 'video'},
        {'feature_id': 109, 'tower': 'item', 'position': 8, 'feature': 'release_year', 'kind': 'one_hot', 'vocabulary': 'release_year'},
    ] %}
    {{ return(rows) }}
{% endmacro %}

{# The vocabularies that the layout names, each once, in order of their first use. #}
{% macro layout_vocabularies() %}
    {% set rows = feature_layout_rows() | selectattr('vocabulary', 'defined') %}
    {{ return(rows | map(attribute='vocabulary') | unique | list) }}
{% endmacro %}
