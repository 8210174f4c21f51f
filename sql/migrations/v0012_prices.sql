-- Samples of prices with their verdict, and what the next sample is compared with. A sample carries that
-- only if it was taken at the mirror's own block: one of the past leaves no trace in later verdicts.
alter table price
  add column at_timestamp bigint,
  add column reason text,
  add column detail text,
  add column reference_value uint256,
  add column held_value uint256,
  add column held_since bigint,
  add column held_runs int,
  add column premium_reference uint256,
  add column premium_held uint256,
  add column premium_held_since bigint,
  add column premium_held_runs int,
  add column last_value uint256,
  add column unchanged_runs int,
  add column feed_answer numeric(78, 0),
  add column feed_updated_at bigint,
  add column second_value uint256,
  add column second_decimals int,
  add column carries boolean not null default false;

-- The last sample of a price before a block.
create index price_latest on price
  (chain_id, oracle, coalesce(token::bytea, ''::bytea), block_number desc, run_id desc)
  where carries;

-- Whether a price, read with so many decimals, was of the right order when it was first seen beside a
-- second source. An empty token: the oracle prices a pair.
create table decimals_check (
  chain_id bigint not null,
  oracle address not null,
  token bytea not null,
  decimals int not null,
  state text not null check (state in ('passed', 'quarantined')),
  detail text,
  block_number bigint not null,
  block_hash bytes32 not null,
  at_timestamp bigint not null,
  primary key (chain_id, oracle, token, decimals)
);

-- The figures behind the reason, and what the scan would have found at the second source's price.
alter table scan_market
  add column unknown_detail text,
  add column shadow_price uint256,
  add column shadow_liquidatable int,
  add column shadow_debt uint256;

-- What a scan found that a person should look at, and that is no verdict.
create table market_warning (
  run_id bigint not null references run,
  market_id int not null,
  code text not null,
  detail text not null,
  block_number bigint not null,
  primary key (run_id, market_id, code)
);
