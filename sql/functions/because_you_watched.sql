-- Rows of videos (p_rows, at most 20), each similar to one that the user liked lately, by the release that they are
-- served. p_user_id is the caller by default.
create or replace function public.because_you_watched(
    p_user_id text default null, p_rows integer default 3, p_per_row integer default 10
)
returns table (
    video_id uuid, score double precision, rank integer, source text, release_id bigint, title text, thumbnail_url text,
    product_url text, because_video_id uuid, because_title text, row_rank integer
)
language plpgsql stable security definer parallel safe rows 30
set search_path = pg_catalog, pg_temp
as $$
declare
    person constant text := two_tower.known_person(p_user_id);
begin
    perform two_tower.checked_count(p_per_row, 'p_per_row', 1000);
    if exists (select from two_tower.variant_of(person) as v where v.is_previous) then
        return query select * from two_tower.liked_previous_rows(person, p_rows, p_per_row);
    else
        return query select * from two_tower.liked_rows(person, p_rows, p_per_row);
    end if;
end $$;
