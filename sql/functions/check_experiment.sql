-- Trigger of two_tower.experiments: the version is the one that serves or the one before, the control is the other of
-- the two. `insert into two_tower.experiments (name, version, share) values ('cosine', '20260105_040000', 0.2)` starts
-- one.
create or replace function two_tower.check_experiment() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    served text[] := two_tower.served_versions();
begin
    if array_position(served, new.version) is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('version %s is not served: %s', new.version, case cardinality(served)
                when 0 then 'nothing was released'
                when 1 then format('%s is, and there is none before it', served[1])
                else format('%s is, and %s was before it', served[1], served[2])
            end);
    end if;
    if cardinality(served) < 2 then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'an experiment takes two releases, and there is one';
    end if;
    new.control := case when new.version = served[1] then served[2] else served[1] end;
    new.salt := coalesce(new.salt, new.name);
    return new;
end $$;
