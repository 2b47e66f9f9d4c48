{#
    Var serving_roles as {role: tier}. A list of roles has tiers by name: anon is a visitor, authenticated a user, any other a
    service. What the tiers may do: sql/functions/app_functions.sql and app_tables.sql.
#}
{% macro serving_tiers() -%}
    {%- set given, usual, tiers = var('serving_roles') or {}, {'anon': 'visitor', 'authenticated': 'user'}, {} -%}
    {%- if given is string or (given is not mapping and given is not sequence) -%}
        {{ exceptions.raise_compiler_error(
            "var serving_roles is " ~ given ~ ": write a list of roles, or a mapping {role: tier}."
        ) }}
    {%- endif -%}
    {%- for role in given -%}
        {%- set tier = given[role] if given is mapping else usual.get(role, 'service') -%}
        {%- if role is not string or role in ('', 'public', 'two_tower_api') -%}
            {{ exceptions.raise_compiler_error("var serving_roles names " ~ role ~ ", which is no role of an app.") }}
        {%- elif tier not in ('visitor', 'user', 'service') -%}
            {{ exceptions.raise_compiler_error(
                "var serving_roles: " ~ tier ~ ", the tier of " ~ role ~ ", is none of visitor, user and service."
            ) }}
        {%- endif -%}
        {%- do tiers.update({role: tier}) -%}
    {%- endfor -%}
    {{ return(tiers) }}
{%- endmacro %}


{# The roles of var serving_roles that this server does not have. #}
{% macro missing_roles() -%}
    {%- set names, missing = [], [] -%}
    {%- for role in serving_tiers() -%}
        {%- do names.append("'" ~ role | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {%- if execute and names -%}
        {%- set found = run_query('select rolname from pg_catalog.pg_roles where rolname in (' ~ names | join(', ') ~ ')') -%}
        {%- for role in serving_tiers() if role not in found.columns[0].values() -%}
            {%- do missing.append(role) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(missing) }}
{%- endmacro %}


{# A statement: every role of var serving_roles, and every one that was in it before, holds what its tier says and no more. #}
{% macro sync_grants() -%}
    {%- for role in missing_roles() -%}
        {%- do exceptions.warn("var serving_roles names the role " ~ role ~ ", which does not exist: it is passed over.") -%}
    {%- endfor -%}
    select two_tower.sync_grants('{{ tojson(serving_tiers()) | replace("'", "''") }}', {{ var('own_vectors') }})
{%- endmacro %}


{# `two-tower grants`, by dbt run-operation. Whoever types it wants every role of the var to have its privileges. #}
{% macro apply_serving_roles() -%}
    {%- if execute -%}
        {%- set missing = missing_roles() -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                "var serving_roles names " ~ missing | join(', ') ~ ", no role of this server: create it or take it out. Nothing was changed."
            ) }}
        {%- endif -%}
        {%- call statement('apply_serving_roles') -%}
            {{ create_release_functions() }};
            {{ sync_grants() }}
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}


{#
    Post-hook of every model: dbt makes a new table and renames the old one, which keeps its grants, its row-level security and
    its policies. The new one gets them before readers see it.
#}
{% macro keep_privileges() -%}
    {#- The hooks on run start and end are nodes of the project too, and have no table. -#}
    {%- if execute and this -%}
        {{ return(adapter.dispatch('keep_privileges')()) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__keep_privileges() -%}
{%- endmacro %}

{% macro postgres__keep_privileges() -%}
    {%- set old = make_backup_relation(this, 'table').include(database=false) -%}
    select two_tower.copy_privileges(old.id, '{{ this.include(database=false) }}'::regclass)
    from (select to_regclass('{{ old }}') as id) as old
    where old.id is not null
{%- endmacro %}
