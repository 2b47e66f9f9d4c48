-- Renames a table with its key and index, which keep their names when only the table is renamed.
create or replace function two_tower.rename_embeddings(base text, old_suffix text, new_suffix text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    renamed text := base || new_suffix;
    key_name name;
begin
    execute format('alter table public.%I rename to %I', base || old_suffix, renamed);
    select conname into key_name from pg_constraint
    where conrelid = format('public.%I', renamed)::regclass and contype = 'p';
    if key_name is distinct from renamed || '_pkey' and key_name is not null then
        execute format('alter table public.%I rename constraint %I to %I', renamed, key_name, renamed || '_pkey');
    end if;
    execute format(
        'alter index if exists public.%I rename to %I',
        'idx_' || base || '_cosine' || old_suffix, 'idx_' || base || '_cosine' || new_suffix
    );
end $$;
