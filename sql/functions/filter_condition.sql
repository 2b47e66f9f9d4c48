-- A filter as a SQL condition on two_tower.videos; null if it restricts nothing. Values are quoted here and, of full
-- makers, in fill_capped. A list of values matches any of them. An empty list matches no video, but every video with a
-- key in _all or _none.
create or replace function two_tower.filter_condition(p_filter jsonb) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Key -> its condition, and the type of its values.
    keys constant jsonb := '{
        "source": ["videos.source = any (%s::text[])", "texts"],
        "maker": ["videos.maker = any (%s::text[])", "texts"],
        "label": ["videos.label = any (%s::text[])", "texts"],
        "series": ["videos.series = any (%s::text[])", "texts"],
        "tags_any": ["videos.tag_ids && %s::text[]", "texts"],
        "tags_all": ["videos.tag_ids @> %s::text[]", "texts"],
        "tags_none": ["not videos.tag_ids && %s::text[]", "texts"],
        "performers_any": ["videos.performer_ids && %s::text[]", "texts"],
        "performers_all": ["videos.performer_ids @> %s::text[]", "texts"],
        "performers_none": ["not videos.performer_ids && %s::text[]", "texts"],
        "ids": ["videos.video_id = any (%s::uuid[])", "texts"],
        "price_min": ["videos.price >= %s::double precision", "number"],
        "price_max": ["videos.price <= %s::double precision", "number"],
        "released_from": ["videos.released_on >= %s::date", "day"],
        "released_to": ["videos.released_on <= %s::date", "day"],
        "max_per_maker": [null, "number"],
        "max_per_series": [null, "number"]
    }';
    item record;
    conditions text[] := '{}';
begin
    if jsonb_typeof(p_filter) <> 'object' then
        raise invalid_parameter_value using
            message = 'p_filter is no JSON object', hint = 'Write {"maker": "m1", "price_max": 1000}.';
    end if;
    for item in
        select each.key, each.value, jsonb_typeof(each.value) as kind, keys -> each.key ->> 0 as condition,
            keys -> each.key ->> 1 as takes, null::text as quoted
        from jsonb_each(p_filter) as each
    loop
        case
            when item.takes is null then
                raise invalid_parameter_value using
                    message = format('p_filter has no key %s', quote_ident(item.key)),
                    hint = 'The keys are ' || (select string_agg(known, ', ') from jsonb_object_keys(keys) as known) || '.';
            when item.takes = 'texts' then
                if item.kind = 'string' then
                    item.value := jsonb_build_array(item.value);
                elsif item.kind <> 'array' or jsonb_path_exists(item.value, 'strict $[*] ? (@.type() != "string")') then
                    raise invalid_parameter_value using
                        message = format('%s in p_filter is neither a text nor a list of texts', item.key);
                elsif jsonb_array_length(item.value) > 10000 then
                    raise invalid_parameter_value using
                        message = format('%s in p_filter has more than 10,000 values', item.key);
                end if;
                item.quoted := quote_literal(array(select jsonb_array_elements_text(item.value))::text);
            when item.takes = 'number' and item.kind <> 'number' then
                raise invalid_parameter_value using message = format('%s in p_filter is no number', item.key);
            when item.takes = 'day' and (item.kind <> 'string' or not item.value #>> '{}' ~ '^\d{4}-\d\d-\d\d$') then
                raise invalid_parameter_value using
                    message = format('%s in p_filter is no day, as 2026-01-31 is one', item.key);
            when item.condition is null
                and (item.value::numeric not between 1 and 1000 or item.value::numeric <> trunc(item.value::numeric))
            then
                raise invalid_parameter_value using message = format('%s in p_filter is no whole number in 1 to 1000', item.key);
            else
                item.quoted := quote_literal(item.value #>> '{}');
        end case;
        begin
            if item.key = 'ids' then
                perform array(select jsonb_array_elements_text(item.value))::uuid[];
            elsif item.takes = 'day' then
                perform (item.value #>> '{}')::date;
            elsif item.takes = 'number' then
                perform (item.value #>> '{}')::double precision;
            end if;
        exception
        when numeric_value_out_of_range then
            raise invalid_parameter_value using message = format(
                '%s in p_filter is too %s a number', item.key,
                case when abs(item.value::numeric) > 1 then 'large' else 'small' end
            );
        when data_exception then
            raise invalid_parameter_value using message = format('%s in p_filter: %s', item.key, left(sqlerrm, 100));
        end;
        conditions := conditions || format(item.condition, item.quoted);
    end loop;
    return nullif(array_to_string(conditions, ' and '), '');
end $$;
