-- Three group roles: plimsoll_owner migrates, plimsoll_writer runs jobs, plimsoll_reader reads. They
-- are made only if this user may make roles; otherwise an administrator makes them and runs the
-- grants (docs/running.md).
do $$
declare
  missing text;
begin
  foreach missing in array array['plimsoll_owner', 'plimsoll_writer', 'plimsoll_reader'] loop
    if not exists (select from pg_roles where rolname = missing) then
      begin
        execute format('create role %I nologin', missing);
      exception
        when insufficient_privilege then
          raise notice 'role % was not made: this user may not make roles', missing;
        when duplicate_object or unique_violation then
          null;  -- another database of this cluster was migrated at the same time
      end;
    end if;
  end loop;

  if exists (select from pg_roles where rolname = 'plimsoll_writer') then
    grant select, insert, update, delete on all tables in schema public to plimsoll_writer;
    grant usage, select on all sequences in schema public to plimsoll_writer;
    alter default privileges in schema public
      grant select, insert, update, delete on tables to plimsoll_writer;
  end if;
  if exists (select from pg_roles where rolname = 'plimsoll_reader') then
    grant select on all tables in schema public to plimsoll_reader;
    alter default privileges in schema public grant select on tables to plimsoll_reader;
  end if;
end
$$;
