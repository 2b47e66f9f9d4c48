-- Revokes the privileges that the database grants by default: new tables and functions are for their owner alone.
do $$
declare
    item record;
begin
    for item in
        select 'function ' || p.oid::regprocedure as target, a.grantee
        from pg_proc as p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner
            and p.proname in (
                'recommend_videos', 'similar_videos', 'recommend_for_vector', 'record_event', 'record_impressions'
            )
        union
        select 'table ' || c.oid::regclass, a.grantee
        from pg_class as c cross join lateral aclexplode(c.relacl) as a
        where c.oid in ('public.user_embeddings'::regclass, 'public.video_embeddings'::regclass)
            and a.grantee <> c.relowner
    loop
        execute format(
            'revoke all on %s from %s', item.target,
            case item.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(item.grantee)) end
        );
    end loop;
end $$;
