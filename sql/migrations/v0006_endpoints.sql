-- What is known of the chains and of the nodes that serve them. Nodes have names here, never URLs.

-- The first block of a chain, as it was when the chain was first read: a node that has another serves
-- another chain, whatever number it gives.
create table chain (
  chain_id bigint primary key check (chain_id > 0),
  genesis_hash bytes32 not null,
  noted_at timestamptz not null default now()
);

-- What one run has learnt of an endpoint and the next should know. A null limit: nothing was refused.
create table endpoint_memory (
  chain_id bigint not null,
  endpoint text not null,
  window_limit bigint check (window_limit > 0),
  window_maximum bigint check (window_maximum > 0),
  aggregate_limit bigint check (aggregate_limit > 0),
  batch_limit bigint check (batch_limit > 0),
  batch_maximum bigint check (batch_maximum > 0),
  logs_per_answer_max bigint check (logs_per_answer_max > 0),
  concurrency bigint not null check (concurrency > 0),
  knows_block_hashes boolean not null,
  score bigint not null check (score <= 0),
  updated_at timestamptz not null default now(),
  primary key (chain_id, endpoint)
);
