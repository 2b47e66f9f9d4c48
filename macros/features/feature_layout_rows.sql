{# Var feature_layout as rows, a dict a feature: tower and position are where it stands. #}
{% macro feature_layout_rows() %}
    {% set rows = [] %}
    {% for tower, features in var('feature_layout').items() %}
        {% for feature in features %}
            {% do rows.append(dict(feature, tower=tower, position=loop.index0)) %}
        {% endfor %}
    {% endfor %}
    {{ return(rows) }}
{% endmacro %}

{# The vocabularies that the layout names, each once, in order of their first use. #}
{% macro layout_vocabularies() %}
    {% set rows = feature_layout_rows() | selectattr('vocabulary', 'defined') %}
    {{ return(rows | map(attribute='vocabulary') | unique | list) }}
{% endmacro %}
