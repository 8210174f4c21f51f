-- Brokers: what their users owe lives in them, not in the core contract, and no event tells all of it.
-- It is read back after each event that names a user, and kept as versions.

-- Every broker that a market has ever had.
create table broker (
  id int generated always as identity primary key,
  deployment_id int not null references deployment,
  address address not null,
  unique (deployment_id, address)
);
insert into broker (deployment_id, address)
select distinct deployment_id, broker from market where broker is not null;

-- The last block in which something may have changed what a user owes to a broker. A row is never
-- taken back: reading once more than needed does no harm.
create table broker_touch (
  broker_id int not null references broker on delete cascade,
  user_address address not null,
  block_number bigint not null,
  primary key (broker_id, user_address)
) with (fillfactor = 70);

-- What a broker keeps of a user, each row as of one block; append-only.
create table broker_loan (
  id bigint generated always as identity primary key,
  broker_id int not null references broker on delete cascade,
  user_address address not null,
  block_number bigint not null,
  block_hash bytes32 not null,
  how text not null default 'call_at_block' check (how in ('call_at_block')),
  dynamic_principal uint256 not null,
  normalized_debt uint256 not null,
  -- What `getUserTotalDebt` answered at that block.
  total_debt uint256 not null,
  unique (broker_id, user_address, block_number, block_hash)
);

-- The loans of a fixed term that belong to one version. Times are words of the contract.
create table broker_term (
  loan_id bigint not null references broker_loan on delete cascade,
  place int not null check (place >= 0),
  number uint256 not null,
  principal uint256 not null,
  apr_ray uint256 not null,
  starts_at uint256 not null,
  ends_at uint256 not null,
  last_repaid_at uint256 not null,
  interest_repaid uint256 not null,
  principal_repaid uint256 not null,
  -- Of credit brokers only.
  kind smallint,
  no_interest_until uint256,
  borrowed_shares uint256,
  is_bad_debt boolean,
  primary key (loan_id, place)
);

-- What the rate calculator holds of a broker, as of one block; append-only.
create table broker_rate (
  broker_id int not null references broker on delete cascade,
  block_number bigint not null,
  block_hash bytes32 not null,
  how text not null default 'call_at_block' check (how in ('call_at_block')),
  calculator address not null,
  index_ray uint256 not null,
  rate_per_second_ray uint256 not null,
  max_rate_per_second_ray uint256 not null,
  last_updated bigint not null,
  primary key (broker_id, block_number, block_hash)
);

-- Collateral price in loan units that sizes the liquidation of a broker's user.
alter table candidate add column user_price uint256;

-- Positions of credit brokers with a loan past its end and grace: written off by the broker, never
-- liquidated by price.
alter table scan_market add column overdue int not null default 0 check (overdue >= 0);
create table overdue_loan (
  run_id bigint not null references run,
  market_id int not null,
  user_address address not null,
  number uint256 not null,
  block_number bigint not null,
  block_hash bytes32 not null,
  at_timestamp bigint not null,
  principal_left uint256 not null,
  ends_at uint256 not null,
  grace_seconds uint256 not null,
  primary key (run_id, market_id, user_address, number)
);

-- Changes of a market's lists, each by the log that told it; append-only. The newest row of a member
-- says whether it is in.
create table market_member (
  deployment_id int not null references deployment,
  list text not null check (list in ('liquidator', 'user', 'provider')),
  market_key bytes32 not null,
  -- The listed one; of a provider the token that it provides.
  address address not null,
  provider address,
  is_in boolean not null,
  block_number bigint not null,
  log_index int not null,
  block_hash bytes32 not null,
  primary key (deployment_id, list, market_key, address, block_number, log_index)
);

-- Other code behind a contract: what it computes may have changed.
create table upgrade (
  deployment_id int not null references deployment,
  contract address not null,
  implementation address not null,
  block_number bigint not null,
  log_index int not null,
  block_hash bytes32 not null,
  transaction_hash bytes32 not null,
  primary key (deployment_id, block_number, log_index)
);
