-- Deployments that begin in mid-chain: the state that the contracts told of one block, which everything
-- is derived from instead of from nothing.

-- The block whose state a deployment stands on; null: it was read from first_block on.
alter table deployment add column bootstrap_block bigint check (bootstrap_block >= 0);

-- The core contract at that block. One row per deployment; base rows never change.
create table core_base (
  deployment_id int primary key references deployment,
  block_number bigint not null,
  block_hash bytes32 not null,
  how text not null default 'call_at_block' check (how in ('call_at_block')),
  fee_recipient address not null,
  default_market_fee_wad uint256
);

-- Its markets, as columns of the same name in table market.
create table market_base (
  id int generated always as identity primary key,
  deployment_id int not null references core_base,
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
  fee_wad uint256 not null,
  rate_at_target_wad uint256,
  unique (deployment_id, market_key)
);

-- Their positions that were not empty. Without a foreign key: it is checked row by row.
create table position_base (
  market_base_id int not null,
  user_address address not null,
  supply_shares uint256 not null,
  borrow_shares uint256 not null,
  collateral uint256 not null,
  primary key (market_base_id, user_address)
);
