-- What somebody has to be told of, and what became of telling them.

-- A condition that was found, from the run that fired it to the one that resolved it: one row for each
-- episode. Seconds are those of the finding, block time or scheduled time, never the server's clock.
-- absent_since: since when the condition is known not to hold any more; it resolves some time later.
create table alert (
  id bigint generated always as identity primary key,
  deployment_id int references deployment,
  kind text not null,
  subject text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  state text not null default 'firing' check (state in ('firing', 'resolved')),
  facts jsonb not null,
  fired_at bigint not null,
  last_seen_at bigint not null,
  absent_since bigint,
  resolved_at bigint,
  run_id bigint references run,
  check ((state = 'resolved') = (resolved_at is not null))
);
create unique index alert_firing on alert (deployment_id, kind, subject) nulls not distinct
  where state = 'firing';

-- What is to be said, written in the transaction that found it. The key makes each said once. A notice
-- is an event of the chain and has no alert; taken_back: the chain has left it.
create table outbox (
  id bigint generated always as identity primary key,
  dedup_key text not null unique,
  event text not null check (event in ('fired', 'resolved', 'notice', 'taken_back')),
  alert_id bigint references alert,
  deployment_id int references deployment,
  kind text not null,
  subject text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  at_timestamp bigint not null,
  block_number bigint,
  facts jsonb not null,
  run_id bigint references run,
  created_at timestamptz not null default now(),
  routed_at bigint
);
-- By state and not by number: numbers are not given in the order of commits.
create index outbox_unrouted on outbox (id) where routed_at is null;
create index outbox_notice on outbox (deployment_id, block_number)
  where event in ('notice', 'taken_back');

-- One message on one route. Taking it puts next_attempt_at off, so that nobody else takes it meanwhile
-- and somebody does if the taker dies.
create table delivery (
  id bigint generated always as identity primary key,
  outbox_id bigint not null references outbox,
  route text not null,
  state text not null default 'due' check (state in ('due', 'delivered', 'dead')),
  attempts int not null default 0 check (attempts >= 0),
  next_attempt_at bigint not null,
  message_id text,
  last_error text,
  run_id bigint references run,
  changed_at timestamptz not null default now(),
  unique (outbox_id, route)
);
create index delivery_due on delivery (route, outbox_id) where state = 'due';
create index delivery_open on delivery (route) where state <> 'delivered';
create index delivery_done on delivery (route, changed_at) where state = 'delivered';

-- What is looked for each minute is found by a few steps through an index, as runs are kept for ever.
create index run_by_deployments on run (job, deployments, id);
create index run_success on run (job, deployments, finished_at) where exit_code in (0, 1)
  and status <> 'skipped_locked';
