-- Where an audit found the tables and the contracts to differ: one row for each field, from the run that
-- first found it to the one that found it equal. Values are decimal digits or addresses, as the contract
-- tells them; null: nothing is there. History: no foreign key to the market, which may be derived anew.
create table divergence (
  id bigint generated always as identity primary key,
  deployment_id int not null references deployment,
  kind text not null,
  contract address not null,
  market_key bytes32,
  user_address address,
  field text not null,
  relation text not null check (relation in ('equal', 'at_most')),
  expected text,
  actual text,
  set_aside boolean not null,
  block_number bigint not null,
  block_hash bytes32 not null,
  first_run_id bigint not null references run,
  run_id bigint not null references run,
  found_at timestamptz not null default now(),
  resolved_run_id bigint references run,
  resolved_at timestamptz,
  check ((resolved_at is null) = (resolved_run_id is null))
);
create unique index divergence_open
  on divergence (deployment_id, kind, contract, market_key, user_address, field) nulls not distinct
  where resolved_at is null;
