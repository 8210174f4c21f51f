-- What is read: debts that follow from a market's totals when they are read, and views for others.

-- Debts that do not follow from the market's totals: those of brokers. The others are derived by the
-- views below from one row of their market, so that a refresh writes one row for each market and no
-- position.
drop view moolah_user_position;
alter table position_debt rename to stored_debt;
alter table stored_debt rename constraint position_debt_pkey to stored_debt_pkey;
truncate stored_debt;
-- The trigger price follows from the debt. A debt that is not known says why.
alter table stored_debt
  drop column trigger_price,
  alter column borrowed drop not null,
  add column unknown_reason text,
  add check ((borrowed is null) = (unknown_reason is not null));

-- Why the last refresh could tell no debt of a market.
create table market_unknown (
  market_id int primary key references market on delete cascade,
  reason text not null
);

-- Every position with what it owes, true at the block and second of its market_now row, in units of the
-- loan token; the trigger price times 1e36. In the contract's order of operations and rounding, and null
-- where it would revert: the debt as SharesMathLib.toAssetsUp, whose product and sum must stay below
-- 2^256; the trigger as ceil(ceil(debt * 1e18 / lltv) * 1e36 / collateral), null if no price of 256 bits is
-- enough. A position that was changed above that block is unknown until the next refresh, and so
-- is a broker's debt without that row, which says what block it is of. "offset 0" keeps what is said once
-- from being computed twice.
create view position_now as
select
  p.id as position_id, p.market_id, p.user_address, p.supply_shares, p.borrow_shares, p.collateral,
  d.borrowed, t.trigger_price,
  case
    when d.borrowed is not null then null
    when n.market_id is null then coalesce(u.reason, 'not_refreshed')
    when p.as_of_block > n.as_of_block then 'changed_since_refresh'
    when m.broker is not null then coalesce(s.unknown_reason, 'broker_market')
    else 'arithmetic_overflow'
  end as unknown_reason,
  p.as_of_block as changed_at_block, n.as_of_block, n.as_of_timestamp
from position p
join market m on m.id = p.market_id
left join (
  select market_id, as_of_block, as_of_timestamp, total_borrow_assets + 1 as assets,
    total_borrow_shares + 1000000 as shares, total_borrow_shares + 999999 as shares_less_one,
    div(115792089237316195423570985008687907853269984665640564039457584007913129639936
      - (total_borrow_shares + 1000000), total_borrow_assets + 1) as shares_max
  from market_now offset 0
) n on n.market_id = p.market_id
join (
  select id as market_id, div(1e18, gcd(lltv_wad, 1e18)) as wads,
    nullif(div(lltv_wad, gcd(lltv_wad, 1e18)), 0) as parts
  from market offset 0
) l on l.market_id = p.market_id
left join stored_debt s on s.position_id = p.id and m.broker is not null
left join market_unknown u on u.market_id = p.market_id
cross join lateral (
  select case
    when p.borrow_shares = 0 then 0
    when p.as_of_block > n.as_of_block then null
    when m.broker is not null then case when n.market_id is not null then s.borrowed end
    when p.borrow_shares <= n.shares_max
      then div(p.borrow_shares * n.assets + n.shares_less_one, n.shares)
    end as borrowed
  offset 0
) d
cross join lateral (
  select div(div(d.borrowed * l.wads + (l.parts - 1), l.parts) * 1e36 + (p.collateral - 1),
    case when d.borrowed > 0 then nullif(p.collateral, 0) end) as price
  offset 0
) c
cross join lateral (
  select case when c.price
    < 115792089237316195423570985008687907853269984665640564039457584007913129639936
    then c.price end as trigger_price
) t;

-- What is known of the positions with debt. A null trigger price: no price is enough.
create view position_debt as
select position_id, borrowed, trigger_price from position_now
where borrow_shares > 0 and borrowed is not null;

-- The names and units that others read by. Amounts are human decimals, scaled by a product, which is
-- exact: a quotient of numerics is rounded.

-- What a market is called outside, and how its amounts are shown.
create view market_scale as
select
  m.id as market_id, m.market_key, d.chain_id, d.system, m.loan_token, m.collateral_token, m.oracle,
  m.lltv_wad, m.total_borrow_assets, m.total_borrow_shares, m.last_update,
  l.symbol as loan_symbol, c.symbol as collateral_symbol, l.decimals as loan_decimals,
  c.decimals as collateral_decimals,
  ('1e' || -l.decimals)::numeric as loan_unit,
  ('1e' || -c.decimals)::numeric as collateral_unit,
  ('1e' || c.decimals - l.decimals - 36)::numeric as price_unit
from market m
join deployment d on d.id = m.deployment_id
left join token c on c.chain_id = d.chain_id and c.address = m.collateral_token
left join token l on l.chain_id = d.chain_id and l.address = m.loan_token;

-- Requirement 001 §2: one row per user and market; borrow shares raw.
create view moolah_user_position as
select
  p.user_address as "userAddress",
  m.market_key as "marketId",
  m.chain_id as "chainId",
  p.collateral * m.collateral_unit as "collateralAmount",
  p.borrow_shares as "borrowShares",
  case when p.borrow_shares = 0 then 0 else p.borrowed * m.loan_unit end as "borrowedAmount",
  case when p.borrow_shares > 0 then p.trigger_price * m.price_unit end as "liquidationPriceRatio",
  to_timestamp(case when p.as_of_block >= p.changed_at_block then p.as_of_timestamp else coalesce(
    (select b.timestamp from block b where b.chain_id = m.chain_id and b.number = p.changed_at_block
      and b.canonical), m.last_update) end) as "updatedAt"
from position_now p
join market_scale m on m.market_id = p.market_id;

-- A scan of a stated block or second answers a question: it says nothing of what is so now.
alter table scan_market add column is_question boolean not null default false;

-- The last scan of each market that was no question, if its block is still on the chain.
create view market_scan as
select s.*
from market m
join deployment d on d.id = m.deployment_id
cross join lateral (
  select * from scan_market s where s.market_id = m.id and not s.is_question
  order by s.run_id desc limit 1
) s
where exists (select from block b where b.chain_id = d.chain_id and b.number = s.block_number
  and b.hash = s.block_hash and b.canonical);

-- Requirement 004, GET /api/moolah/liquidation/liquidatable: what the last scan found.
create view moolah_liquidatable as
select
  c.user_address as "userAddress",
  m.market_key as "marketId",
  m.chain_id as "chainId",
  c.debt * m.loan_unit as "borrowedAmount",
  c.collateral * m.collateral_unit as "collateralAmount",
  c.trigger_price * m.price_unit as "liquidationPrice",
  c.price * m.price_unit as "currentPrice",
  c.outcome as "outcome",
  c.block_number as "blockNumber",
  to_timestamp(c.at_timestamp) as "updatedAt",
  case when m.loan_unit is null or m.collateral_unit is null then 'missing_decimals' end
    as "unknownReason"
from market_scan s
join market_scale m on m.market_id = s.market_id
join candidate c on c.run_id = s.run_id and c.market_id = s.market_id and c.certainty = 'verified';

-- GET /api/moolah/redPositions: the same list in raw amounts, with what a liquidator computes from;
-- the furthest below its line first.
create view moolah_red_position as
select
  m.market_key as "id",
  m.chain_id as "chainId",
  c.user_address as "user",
  c.collateral as "collateral",
  c.debt as "borrowed",
  p.borrow_shares as "borrowShares",
  m.total_borrow_assets as "totalBorrowAssets",
  m.total_borrow_shares as "totalBorrowShares",
  m.collateral_token as "collateralToken",
  m.collateral_decimals as "collateralDecimal",
  m.loan_token as "loanToken",
  m.oracle as "oracle",
  m.lltv_wad as "lltv",
  c.price as "collateralPrice",
  c.trigger_price as "liqRate",
  c.block_number as "blockNumber"
from market_scan s
join market_scale m on m.market_id = s.market_id
join candidate c on c.run_id = s.run_id and c.market_id = s.market_id and c.certainty = 'verified'
left join position p on p.market_id = c.market_id and p.user_address = c.user_address
order by c.trigger_price desc nulls first, c.user_address;

-- GET /api/liquidation/zone/closeToLiquidate: capacity over debt below 1.5, the nearest first; at the
-- price of the last scan. Without those that owe their broker nothing, or that are never liquidated by
-- price: the users of credit brokers (kind 2).
create view moolah_close_to_liquidate as
select
  p.user_address as "userAddress",
  m.market_key as "marketId",
  m.chain_id as "chainId",
  p.collateral * m.collateral_unit as "collateralAmount",
  p.borrowed * m.loan_unit as "borrowedAmount",
  p.trigger_price * m.price_unit as "liquidationPrice",
  s.price * m.price_unit as "currentPrice",
  f.factor as "safeFactor",
  to_timestamp(p.as_of_timestamp) as "updatedAt",
  case when m.loan_unit is null or m.collateral_unit is null then 'missing_decimals' end
    as "unknownReason"
from market_scan s
join market_scale m on m.market_id = s.market_id
join position_now p on p.market_id = s.market_id and p.borrow_shares > 0
cross join lateral (
  select div(div(div(p.collateral * s.price, 1e36) * m.lltv_wad, 1e18) * 1e6,
    nullif(p.borrowed, 0)) * 1e-6
    as factor
  offset 0
) f
where f.factor < 1.5
  and 2 is distinct from (
    select f.value from market k
    join fact f on f.deployment_id = k.deployment_id and f.subject = k.broker
      and f.name = 'broker_kind'
    where k.id = s.market_id
    order by f.block_number desc, f.log_index desc limit 1)
order by f.factor, p.position_id;

-- What is in none of the lists above because it is not known: positions whose debt is not, and markets
-- of which the last scan had no verdict on so many positions.
create view moolah_unknown as
select
  m.market_key as "marketId",
  m.chain_id as "chainId",
  p.user_address as "userAddress",
  'debt' as "unknown",
  1::bigint as "positions",
  p.unknown_reason as "reason",
  p.as_of_block as "blockNumber"
from position_now p
join market_scale m on m.market_id = p.market_id
where p.borrow_shares > 0 and p.borrowed is null
union all
select m.market_key, m.chain_id, null, 'verdict', s.unknown, s.unknown_reason, s.block_number
from market_scan s
join market_scale m on m.market_id = s.market_id
where s.unknown > 0
union all
select m.market_key, m.chain_id, null, 'verdict', null, 'not_scanned', null
from market_scale m
where m.total_borrow_shares > 0
  and not exists (select from market_scan s where s.market_id = m.market_id);

-- GET /api/liquidation/history: every liquidation, ours or a rival's. Dollars are the oracle's, 8 decimals
-- a token, from the nearest sample within ten minutes that was not refused; at the block itself they are
-- "exact".
create view moolah_liquidation_history as
select
  h.borrower as "userAddress",
  m.market_key as "marketId",
  m.chain_id as "chainId",
  h.liquidator as "liquidator",
  h.repaid_shares as "repaidShares",
  h.repaid_assets * m.loan_unit as "repaidAssets",
  div(h.repaid_assets * l.value * m.loan_unit, 1) * 1e-8 as "repaidInUsd",
  h.seized_assets * m.collateral_unit as "seizedAssets",
  div(h.seized_assets * c.value * m.collateral_unit, 1) * 1e-8 as "seizedInUsd",
  h.bad_debt_assets * m.loan_unit as "badDebtAssets",
  c.value * 1e-8 as "collateralMarketPrice",
  m.lltv_wad * 1e-18 as "lltv",
  h.write_down as "writeDown",
  to_timestamp(h.timestamp) as "time",
  h.block_number as "blockNumber",
  h.log_index as "logIndex",
  h.transaction_hash as "transactionHash",
  case
    when l.value is null or c.value is null then 'no_price'
    when m.loan_unit is null or m.collateral_unit is null then 'missing_decimals'
    when l.block_number = h.block_number and c.block_number = h.block_number then 'exact'
    else 'interpolated'
  end as "usdHow"
from liquidation h
join market_scale m on m.market_id = h.market_id
left join lateral (
  select n.value, n.block_number from (
    (select p.value, p.block_number, abs(b.timestamp - h.timestamp) as seconds from price p
      join block b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash and b.canonical
      where p.chain_id = m.chain_id and p.oracle = m.oracle and p.token = m.loan_token
        and p.block_number <= h.block_number and p.value > 0 and p.reason is null
      order by p.block_number desc limit 1)
    union all
    (select p.value, p.block_number, abs(b.timestamp - h.timestamp) from price p
      join block b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash and b.canonical
      where p.chain_id = m.chain_id and p.oracle = m.oracle and p.token = m.loan_token
        and p.block_number > h.block_number and p.value > 0 and p.reason is null
      order by p.block_number limit 1)
  ) n where n.seconds <= 600 order by n.seconds, n.block_number limit 1
) l on m.system = 'moolah'
  and not exists (select from decimals_check q where q.chain_id = m.chain_id and q.oracle = m.oracle
    and q.token = m.loan_token and q.decimals = 8 and q.state = 'quarantined')
left join lateral (
  select n.value, n.block_number from (
    (select p.value, p.block_number, abs(b.timestamp - h.timestamp) as seconds from price p
      join block b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash and b.canonical
      where p.chain_id = m.chain_id and p.oracle = m.oracle and p.token = m.collateral_token
        and p.block_number <= h.block_number and p.value > 0 and p.reason is null
      order by p.block_number desc limit 1)
    union all
    (select p.value, p.block_number, abs(b.timestamp - h.timestamp) from price p
      join block b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash and b.canonical
      where p.chain_id = m.chain_id and p.oracle = m.oracle and p.token = m.collateral_token
        and p.block_number > h.block_number and p.value > 0 and p.reason is null
      order by p.block_number limit 1)
  ) n where n.seconds <= 600 order by n.seconds, n.block_number limit 1
) c on m.system = 'moolah'
  and not exists (select from decimals_check q where q.chain_id = m.chain_id and q.oracle = m.oracle
    and q.token = m.collateral_token and q.decimals = 8 and q.state = 'quarantined');

-- As v0003, for a schema whose roles were made after it: what has come since was granted to nobody. Only
-- what this user owns: a table of somebody else in this schema is not ours to grant.
do $$
declare
  ours record;
begin
  for ours in
    select c.relname, c.relkind = 'S' as is_sequence from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
      and pg_has_role(c.relowner, 'usage')
  loop
    if exists (select from pg_roles where rolname = 'plimsoll_writer') then
      if ours.is_sequence then
        execute format('grant usage, select on sequence public.%I to plimsoll_writer', ours.relname);
      else
        execute format('grant select, insert, update, delete on public.%I to plimsoll_writer',
          ours.relname);
      end if;
    end if;
    if not ours.is_sequence and exists (select from pg_roles where rolname = 'plimsoll_reader') then
      execute format('grant select on public.%I to plimsoll_reader', ours.relname);
    end if;
  end loop;
end
$$;
