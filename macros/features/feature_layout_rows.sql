{# Var feature_layout as rows: one dict per feature, with its tower and its position in it. Without vectors of width 0. #}
{% macro feature_layout_rows() %}
    {% set rows = [] %}
    {% for tower, features in var('feature_layout').items() %}
        {% for feature in features %}
            {% set width = text_embedding_width() if feature.kind == 'dense' else none %}
            {% set position = rows | selectattr('tower', 'equalto', tower) | list | length %}
            {% if width != 0 %}
                {% do rows.append(dict(feature, tower=tower, position=position, width=width)) %}
            {% endif %}
        {% endfor %}
    {% endfor %}
    {{ return(rows) }}
{% endmacro %}

{# The vocabularies of the layout, each once, in the order of first use. #}
{% macro layout_vocabularies() %}
    {% set rows = feature_layout_rows() | selectattr('vocabulary', 'defined') %}
    {{ return(rows | map(attribute='vocabulary') | unique | list) }}
{% endmacro %}
