{#
    Before dbt parses, the plugin dbt_two_tower asks whether a build would only repeat the former one
    (python/two_tower/operations/former_build.py). These hooks keep what it needs in two_tower.whole_build: at most one row of a
    build that ended, and one of the command that runs.
#}

{# On run start, last: what the sources hold before the first model reads them. A command that writes makes this row its own. #}
{% macro note_build_begun() -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() -%}
        {%- set noted = fromjson(env_var('TWO_TOWER_BUILD', 'null')) -%}
        {%- call statement('note_build_begun') -%}
            {{ make_rows_of() }}
            create table if not exists two_tower.whole_build (
                command text not null, sources text, key text, sql text, has_unit_tests boolean, rows text, models integer,
                warnings text, finished_at timestamp
            );
            delete from two_tower.whole_build where finished_at is null;
            insert into two_tower.whole_build (command, sources)
            select '{{ invocation_id }}', {{ 'null' if not noted else rows_of(sources_read(selected_resources), []) }}
        {%- endcall -%}
        {#- Committed here: dbt rolls back what its hooks leave open on run start. -#}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}


{#
    On run end, last: if everything was built and passed, and no other command wrote meanwhile, keep what the tables hold.
    Without `rows`, the next build is built all the same: the sources have changed while they were read, or it depends on the
    clock which reviews are counted.
#}
{% macro note_build_ended(results) -%}
    {%- set is_of_rows = as_of_is_of_rows() -%}
    {%- if execute and flags.WHICH in ('build', 'run') and is_served() -%}
        {%- set noted = fromjson(env_var('TWO_TOWER_BUILD', 'null')) -%}
        {%- call statement('note_build_ended') -%}
            {%- if noted and is_whole(results) -%}
            {%- set read = sources_read(selected_resources) -%}
            {{ make_rows_of_build(read, models_made(selected_resources)) }};
            {{ ended_build(noted, results, rows_of(read, []), is_of_rows) }};
            {%- endif %}
            delete from two_tower.whole_build where finished_at is null
        {%- endcall -%}
        {#- dbt rolls back a transaction that a hook on run end leaves open. -#}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}

{% macro ended_build(noted, results, sources_now, is_of_rows) -%}
    {%- set unit_tests = results | selectattr('node.resource_type', 'equalto', 'unit_test') | list | length > 0 -%}
    {%- set models = results | selectattr('node.resource_type', 'equalto', 'model') | list | length -%}
    {%- set warned = results | selectattr('status', 'equalto', 'warn') | map(attribute='node.name') | list -%}
    insert into two_tower.whole_build
    select
        begun.command, begun.sources, '{{ noted.key }}', '{{ noted.sql }}', {{ unit_tests or noted.has_unit_tests }},
        case
            when begun.sources = {{ sources_now }} and {{ is_of_rows }}
                then two_tower.rows_of_build()
        end,
        {{ models }}, '{{ warned | join(", ") }}', {{ utc_timestamp(modules.datetime.datetime.utcnow()) }}
    from two_tower.whole_build as begun
    where begun.finished_at is null and begun.command = '{{ invocation_id }}';
    delete from two_tower.whole_build
    where finished_at is not null and command <> '{{ invocation_id }}'
        and exists (select 1 from two_tower.whole_build as ours where ours.command = '{{ invocation_id }}' and ours.finished_at is not null)
{%- endmacro %}

{# A condition: as_of is the var, or the latest moment of all, so that it will be the same tomorrow. #}
{% macro as_of_is_of_rows() -%}
    {%- set moment, reviews, events = ref('int_moment'), ref('stg_reviews'), ref('int_events') -%}
    (select as_of from {{ moment }}) =
    {%- if var('as_of') %} {{ utc_timestamp(var('as_of')) }}
    {%- else %} (
        select max(moment)
        from (
            select max(reviewed_at) as moment from {{ reviews }}
            union all
            select max(happened_at) as moment from {{ events }} where stars is not null
        ) as moments
    )
    {%- endif -%}
{%- endmacro %}


{# Whether nothing failed and no model but those of a release was left out. #}
{% macro is_whole(results) -%}
    {%- set failed = results | rejectattr('status', 'in', ['success', 'pass', 'warn', 'no-op']) | list -%}
    {%- set built = results | map(attribute='node.unique_id') | list -%}
    {%- set left_out = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and 'release' not in node.tags -%}
        {%- do left_out.append(node.name) if node.unique_id not in built -%}
    {%- endfor -%}
    {{ return(not failed and not left_out) }}
{%- endmacro %}


{# The sources that these nodes read, and the models among them: nodes of dbt's graph. #}
{% macro sources_read(resources) -%}
    {%- set names = [] -%}
    {%- for resource in resources if resource in graph.nodes -%}
        {%- for name in graph.nodes[resource].depends_on.nodes if name in graph.sources and name not in names -%}
            {%- do names.append(name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for name in names | sort -%}
        {%- do found.append(graph.sources[name]) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro models_made(resources) -%}
    {%- set found = [] -%}
    {%- for name in resources | sort if name.startswith('model.') -%}
        {%- do found.append(graph.nodes[name]) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
