-- The video ids of an argument, without nulls and out of their arrays, unless they are more than p_most.
create or replace function two_tower.checked_ids(p_ids uuid[], p_argument text, p_most integer) returns uuid[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if cardinality(p_ids) > p_most then
        raise invalid_parameter_value using message = format(
            '%s has %s videos: %s are the most', p_argument, to_char(cardinality(p_ids), 'FM999,999,999'),
            to_char(p_most, 'FM999,999,999')
        );
    elsif cardinality(p_ids) > 0 then
        return array(select i.video_id from unnest(p_ids) as i (video_id) where i.video_id is not null);
    end if;
    return p_ids;
end $$;
