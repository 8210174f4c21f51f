-- Tables that every system shares: who writes what, how far, from which blocks, and what was asked.
-- Chain numbers are bigint, contract integers numeric(78,0) (all of uint256), addresses and hashes bytea.

create domain uint256 as numeric(78, 0) check (value >= 0);
create domain address as bytea check (octet_length(value) = 20);
create domain bytes32 as bytea check (octet_length(value) = 32);

-- One contract of a system on one chain.
create table deployment (
  id int generated always as identity primary key,
  chain_id bigint not null check (chain_id > 0),
  system text not null,
  address address not null,
  name text not null unique,
  first_block bigint not null check (first_block >= 0),
  unique (chain_id, system, address)
);

-- What a token says of itself, read once. The symbol is the token's own claim: hostile until escaped.
create table token (
  chain_id bigint not null,
  address address not null,
  decimals smallint not null check (decimals between 0 and 255),
  symbol text,
  primary key (chain_id, address)
);

-- The blocks that were read: all above finality, those with logs, and the ends of windows.
-- A block that a reorganisation took away stays, with canonical = false.
create table block (
  chain_id bigint not null,
  number bigint not null check (number >= 0),
  hash bytes32 not null,
  parent_hash bytes32 not null,
  timestamp bigint not null check (timestamp >= 0),
  canonical boolean not null default true,
  primary key (chain_id, number, hash)
);

create index block_orphaned on block (chain_id, number) where not canonical;

-- The event store: raw logs, append-only. The key is the claim: a log enters once. Block number
-- first, so that inserts are sequential. Logs of blocks that are not canonical stay and are not read.
create table event (
  chain_id bigint not null,
  block_number bigint not null,
  log_index int not null check (log_index >= 0),
  block_hash bytea not null,
  transaction_hash bytea not null,
  transaction_index int not null,
  address bytea not null,
  topic0 bytea,
  topic1 bytea,
  topic2 bytea,
  topic3 bytea,
  data bytea not null,
  primary key (chain_id, block_number, log_index, block_hash)
);

-- How far each job has read. Moved in the transaction that did the work. The revision counts every
-- change of the mirror, also one that leaves the block where it is.
create table cursor (
  job text not null,
  deployment_id int not null references deployment,
  shard int not null default 0,
  block_number bigint not null check (block_number >= -1),
  block_hash bytes32,
  revision bigint not null default 1,
  moved_at timestamptz not null default now(),
  primary key (job, deployment_id, shard)
);

-- Who may write a deployment now. Taking it raises the epoch, and every writing transaction checks
-- its epoch first, so a writer that was replaced while it slept can write no more.
create table writer (
  deployment_id int primary key references deployment,
  epoch bigint not null,
  holder text not null,
  taken_at timestamptz not null default now()
);

-- Facts that no event carries, or that an event changes without a place of its own: versioned. A fact
-- goes with its block when that is taken back; what a contract did not answer is no fact.
create table fact (
  deployment_id int not null references deployment,
  subject bytea not null,
  name text not null,
  block_number bigint not null,
  log_index int not null default -1,
  block_hash bytes32 not null,
  value uint256 not null,
  how text not null check (how in ('log', 'call_at_block', 'sampled', 'config')),
  primary key (deployment_id, subject, name, block_number, log_index)
);

-- One execution of a job.
create table run (
  id bigint generated always as identity primary key,
  job text not null,
  arguments text not null,
  deployments text not null,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  status text not null default 'running' check (status in
    ('running', 'succeeded', 'failed', 'partial', 'skipped_locked', 'interrupted')),
  exit_code int,
  counters jsonb,
  error text,
  version text not null,
  host text not null,
  pid int not null,
  from_block bigint,
  to_block bigint
);
create index run_by_job on run (job, id desc);

-- What an oracle said at a block. Token null: the oracle prices a pair. A null value: it did not answer.
create table price (
  chain_id bigint not null,
  oracle address not null,
  token address,
  block_number bigint not null,
  block_hash bytes32 not null,
  value uint256,
  how text not null check (how in ('log', 'call_at_block', 'sampled', 'config')),
  run_id bigint references run
);
create index price_by_oracle on price (chain_id, oracle, token, block_number desc);
