-- Risk controls: what a scan remembers of its candidates, who may wait, and what was planned.

-- From the first scan that found a position over its line to the one that did not. Natural keys, because
-- this outlives a market that a reorganisation takes back.
create table candidate_memory (
  id bigint generated always as identity primary key,
  deployment_id int not null references deployment,
  market_key bytes32 not null,
  user_address address not null,
  kind text not null check (kind in ('liquidation', 'pre_liquidation')),
  first_seen_block bigint not null,
  first_seen_hash bytes32 not null,
  first_seen_at bigint not null,
  last_seen_block bigint not null,
  last_seen_hash bytes32 not null,
  last_seen_at bigint not null,
  -- Since when no verdict on it was unknown; null: the last one was.
  steady_since bigint,
  confirmations int not null check (confirmations >= 0),
  -- The block at which it was named as open last.
  opened_block bigint,
  opened_hash bytes32,
  opened_at bigint,
  failed_attempts int not null default 0 check (failed_attempts >= 0),
  -- As the last scan left it.
  outcome text not null,
  debt_usd uint256,
  zone text not null,
  guard_state text not null,
  run_id bigint not null references run,
  ended_block bigint,
  -- Of the scan that ended it: an end in a block that the chain has left was none.
  ended_hash bytes32,
  ended_at bigint,
  check ((ended_block is null) = (ended_hash is null))
);
create unique index candidate_memory_open on candidate_memory (deployment_id, market_key, user_address, kind)
  where ended_block is null;
create index candidate_memory_ended on candidate_memory (deployment_id, ended_block)
  where ended_block is not null;

-- Delayed liquidation (LIP-024): the raised line of each market that takes part, and how much debt of each
-- borrower may wait, in USD with 8 decimals. An operator keeps both.
create table guard_market (
  deployment_id int not null references deployment,
  market_key bytes32 not null,
  raised_lltv_wad uint256 not null,
  primary key (deployment_id, market_key)
);
create table guard_user (
  deployment_id int not null references deployment,
  user_address address not null,
  capacity_usd uint256 not null,
  primary key (deployment_id, user_address)
);

-- Positions that an operator has put into the Liquidation Zone.
create table zone_flag (
  deployment_id int not null references deployment,
  market_key bytes32 not null,
  user_address address not null,
  flagged_by text not null default current_user,
  flagged_at timestamptz not null default now(),
  reason text,
  primary key (deployment_id, market_key, user_address)
);

alter table candidate drop constraint candidate_certainty_check;
alter table candidate add constraint candidate_certainty_check
  check (certainty in ('verified', 'actionable', 'pre_liquidatable'));
-- What stands in a band now may be over its line one block later.
alter table candidate drop constraint candidate_pkey;
alter table candidate add primary key (run_id, market_id, user_address, certainty);
alter table candidate add column contract address;
alter table candidate add column path text;
alter table candidate add column plan text check (plan in ('full', 'underwater', 'partial'));
alter table candidate add column by_seizing boolean;
alter table candidate add column seized_assets uint256;
alter table candidate add column repaid_assets uint256;
alter table candidate add column repaid_shares uint256;
alter table candidate add column interest_to_broker uint256;
alter table candidate add column bad_debt_assets uint256;
alter table candidate add column bad_debt_shares uint256;
alter table candidate add column incentive_wad uint256;
alter table candidate add column loan_to_value_wad uint256;
alter table candidate add column debt_usd uint256;
alter table candidate add column collateral_usd uint256;
alter table candidate add column first_seen_at bigint;
alter table candidate add column zone text;
alter table candidate add column guard_state text;

-- Who stands in the Liquidation Zone, and why.
create view liquidation_zone as
select d.name as deployment, m.market_key, m.user_address, m.zone as reasons, m.outcome,
  m.debt_usd * 1e-8 as debt_usd, to_timestamp(m.first_seen_at) as first_seen_at,
  to_timestamp(m.last_seen_at) as last_seen_at, m.failed_attempts
from candidate_memory m join deployment d on d.id = m.deployment_id
where m.ended_block is null and m.kind = 'liquidation' and m.zone <> '';

-- Where each borrower with debt who may wait stands: guarded (not over the line), protected (in grace), or
-- out of guard, with the reason.
create view guarded_position as
select d.name as deployment, g.market_key, u.user_address,
  case when c.id is null then 'guarded' when c.guard_state = 'protected' then 'protected'
    else 'out_of_guard' end as state,
  case when c.guard_state not in ('none', 'protected') then c.guard_state end as reason,
  u.capacity_usd * 1e-8 as capacity_usd, to_timestamp(c.first_seen_at) as crossed_at
from guard_market g
join guard_user u on u.deployment_id = g.deployment_id
join deployment d on d.id = g.deployment_id
join market m on m.deployment_id = g.deployment_id and m.market_key = g.market_key
join position p on p.market_id = m.id and p.user_address = u.user_address and p.borrow_shares > 0
left join candidate_memory c on c.deployment_id = g.deployment_id and c.market_key = g.market_key
  and c.user_address = u.user_address and c.kind = 'liquidation' and c.ended_block is null;
