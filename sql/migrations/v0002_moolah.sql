-- The mirror of Moolah and Morpho Blue: what users change is stored, what markets change is derived.

-- What a core contract holds apart from markets and positions. One row per deployment.
create table core_state (
  deployment_id int primary key references deployment,
  fee_recipient address not null,
  default_market_fee_wad uint256,
  as_of_block bigint not null
);

-- A market as the contract stores it: totals do not contain the interest since last_update.
create table market (
  id int generated always as identity primary key,
  deployment_id int not null references deployment,
  market_key bytes32 not null,
  loan_token address not null,
  collateral_token address not null,
  oracle address not null,
  irm address not null,
  lltv_wad uint256 not null,
  broker address,
  total_supply_assets uint256 not null,
  total_supply_shares uint256 not null,
  total_borrow_assets uint256 not null,
  total_borrow_shares uint256 not null,
  last_update bigint not null,
  fee_wad uint256,
  rate_at_target_wad uint256,
  as_of_block bigint not null,
  unique (deployment_id, market_key)
);

-- One user in one market, exactly one row. It changes only when its user acts.
create table position (
  id bigint generated always as identity primary key,
  market_id int not null references market on delete cascade,
  user_address address not null,
  supply_shares uint256 not null,
  borrow_shares uint256 not null,
  collateral uint256 not null,
  as_of_block bigint not null,
  unique (market_id, user_address)
);

-- Rows as they were before a block that may still be taken back, pruned at finality.
-- existed = false: the row did not exist before that block.
create table core_state_before (
  deployment_id int not null references deployment,
  block_number bigint not null,
  existed boolean not null,
  fee_recipient bytea,
  default_market_fee_wad numeric(78, 0),
  as_of_block bigint,
  primary key (deployment_id, block_number)
);

create table market_before (
  market_id int not null references market on delete cascade,
  block_number bigint not null,
  existed boolean not null,
  broker bytea,
  total_supply_assets numeric(78, 0),
  total_supply_shares numeric(78, 0),
  total_borrow_assets numeric(78, 0),
  total_borrow_shares numeric(78, 0),
  last_update bigint,
  fee_wad numeric(78, 0),
  rate_at_target_wad numeric(78, 0),
  as_of_block bigint,
  primary key (market_id, block_number)
);

create table position_before (
  market_id int not null references market on delete cascade,
  user_address address not null,
  block_number bigint not null,
  existed boolean not null,
  supply_shares numeric(78, 0),
  borrow_shares numeric(78, 0),
  collateral numeric(78, 0),
  as_of_block bigint,
  primary key (market_id, user_address, block_number)
);

-- An event that could not be applied. Its market stands still, and is judged unknown, until a later
-- run derives it from its events again; after the last attempt an operator must ask for it.
create table set_aside (
  deployment_id int not null references deployment,
  market_key bytes32 not null,
  block_number bigint not null,
  log_index int not null,
  reason text not null,
  attempts int not null check (attempts > 0),
  first_tried_at timestamptz not null default now(),
  last_tried_at timestamptz not null default now(),
  primary key (deployment_id, market_key)
);

-- What each user did. One row per log. Without foreign keys: they are checked row by row, which costs
-- four times what the row itself costs. Rows come and go with their events, not with their market.
create table user_operation (
  deployment_id int not null,
  block_number bigint not null,
  log_index int not null,
  market_id int not null,
  kind text not null check (kind in
    ('supply', 'withdraw', 'borrow', 'repay', 'supply_collateral', 'withdraw_collateral',
     'liquidated')),
  user_address address not null,
  caller address not null,
  assets uint256 not null,
  shares uint256,
  timestamp bigint not null,
  transaction_hash bytes32 not null,
  primary key (deployment_id, block_number, log_index)
);

-- Every liquidation, ours or a rival's. write_down: a broker wrote debt off, nothing was repaid.
-- Without foreign keys, as user_operation.
create table liquidation (
  deployment_id int not null,
  block_number bigint not null,
  log_index int not null,
  market_id int not null,
  borrower address not null,
  liquidator address not null,
  repaid_assets uint256 not null,
  repaid_shares uint256 not null,
  seized_assets uint256 not null,
  bad_debt_assets uint256 not null,
  bad_debt_shares uint256 not null,
  write_down boolean not null,
  timestamp bigint not null,
  transaction_hash bytes32 not null,
  primary key (deployment_id, block_number, log_index)
);

-- Accrued totals at a stated block and second.
create table market_now (
  market_id int primary key references market on delete cascade,
  as_of_block bigint not null,
  as_of_hash bytes32 not null,
  as_of_timestamp bigint not null,
  total_supply_assets uint256 not null,
  total_supply_shares uint256,
  total_borrow_assets uint256 not null,
  total_borrow_shares uint256 not null,
  borrow_rate_wad uint256 not null
) with (fillfactor = 50);

-- The derived numbers of a position with debt, true at the block and second of its market_now row.
-- A null trigger price: no price is enough, since there is no collateral. Without a foreign key: the
-- check locks, and so rewrites, every position; who deletes positions deletes their rows here.
create table position_debt (
  position_id bigint primary key,
  borrowed uint256 not null,
  trigger_price uint256
) with (fillfactor = 50);

-- What one scan found in one market: the three counts add up to the positions with debt. History, which
-- outlives a market that a reorganisation takes back: no foreign key to the market, here and below.
create table scan_market (
  run_id bigint not null references run,
  market_id int not null,
  block_number bigint not null,
  block_hash bytes32 not null,
  at_timestamp bigint not null,
  price uint256,
  healthy int not null check (healthy >= 0),
  liquidatable int not null check (liquidatable >= 0),
  unknown int not null check (unknown >= 0),
  unknown_reason text,
  primary key (run_id, market_id)
);
create index scan_market_latest on scan_market (market_id, run_id desc);

-- A liquidatable position, and what became of it.
create table candidate (
  run_id bigint not null references run,
  market_id int not null,
  user_address address not null,
  block_number bigint not null,
  block_hash bytes32 not null,
  at_timestamp bigint not null,
  certainty text not null check (certainty in ('verified', 'actionable')),
  outcome text not null,
  debt uint256 not null,
  capacity uint256 not null,
  collateral uint256 not null,
  price uint256 not null,
  trigger_price uint256,
  primary key (run_id, market_id, user_address)
);

-- Requirement 001 §2: one row per user and market; amounts in human decimals, borrow shares raw. Scaled by
-- a product, which is exact: a quotient of numerics is rounded.
create view moolah_user_position as
select
  p.user_address as "userAddress",
  m.market_key as "marketId",
  d.chain_id as "chainId",
  p.collateral * ('1e' || -c.decimals)::numeric as "collateralAmount",
  p.borrow_shares as "borrowShares",
  case when p.borrow_shares = 0 then 0
    else x.borrowed * ('1e' || -l.decimals)::numeric end as "borrowedAmount",
  case when p.borrow_shares > 0
    then x.trigger_price * ('1e' || c.decimals - l.decimals - 36)::numeric
    end as "liquidationPriceRatio",
  to_timestamp(coalesce(n.as_of_timestamp, m.last_update)) as "updatedAt"
from position p
join market m on m.id = p.market_id
join deployment d on d.id = m.deployment_id
left join token c on c.chain_id = d.chain_id and c.address = m.collateral_token
left join token l on l.chain_id = d.chain_id and l.address = m.loan_token
left join market_now n on n.market_id = m.id
left join position_debt x on x.position_id = p.id and n.market_id is not null;
