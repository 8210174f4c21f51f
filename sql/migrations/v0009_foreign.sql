-- Events that another indexer writes into event and block, and what it declares of them
-- (docs/foreign-event-store.md).

-- Ranges of blocks of which every event is stored. Declared by the indexer, in any order.
create table declared_range (
  id bigint generated always as identity primary key,
  chain_id bigint not null,
  from_block bigint not null check (from_block >= 0),
  to_block bigint not null,
  to_hash bytes32 not null,
  -- The contracts whose events are stored; null: every contract of the chain.
  addresses bytea[],
  -- The first transaction that had not begun when this was declared; set by the trigger.
  declared_xid xid8 not null default pg_current_xact_id(),
  declared_at timestamptz not null default now(),
  check (from_block <= to_block)
);
create index declared_range_by_end on declared_range (chain_id, to_block);
create index declared_range_by_xid on declared_range (chain_id, declared_xid);

-- Whoever has written events before the declaration has a transaction below declared_xid, the declaring
-- one included, so once no transaction below it runs any more everything is there or never will be. An
-- isolation level with an older snapshot would not see the others.
create function declare_range() returns trigger language plpgsql as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'ranges are declared in isolation level read committed'
      using errcode = 'invalid_transaction_state';
  end if;
  new.declared_xid := greatest(
    pg_current_xact_id()::text::bigint + 1,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint)::text::xid8;
  return new;
end
$$;
create trigger declare_range before insert or update on declared_range
for each row execute function declare_range();

-- The transaction below which a deployment has taken note of every declaration.
create table foreign_reading (
  deployment_id int primary key references deployment,
  horizon xid8 not null
);
