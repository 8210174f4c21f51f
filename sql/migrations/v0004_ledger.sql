-- The ledger of what has been read, and of what is not proved.

-- The contracts whose logs a deployment watches. A filter version is a set of contracts that were found
-- at once: version 1 is what the deployment began with, later ones were revealed by events.
create table watched (
  deployment_id int not null references deployment,
  address address not null,
  filter_version int not null check (filter_version > 0),
  primary key (deployment_id, address)
);

-- What is known of the logs of a filter version's contracts, range by range; ranges of one version do
-- not overlap. verified: every check passed. suspect: read, and something says that logs may be
-- missing. failed: could not be read. missing: never read. Only verified ranges are complete; up to the
-- cursor every block is in some range of every version, so nothing is open when all are verified.
create table block_range (
  deployment_id int not null references deployment,
  filter_version int not null,
  from_block bigint not null check (from_block >= 0),
  to_block bigint not null,
  state text not null check (state in ('verified', 'suspect', 'failed', 'missing')),
  reason text,
  attempts int not null default 0,
  changed_at timestamptz not null default now(),
  primary key (deployment_id, filter_version, from_block),
  check (from_block <= to_block)
) with (fillfactor = 50);

-- Deployments from before the ledger: the core contract was read from the first block on; rate models
-- were read only from the window that revealed them.
insert into watched (deployment_id, address, filter_version)
select id, address, 1 from deployment;
insert into watched (deployment_id, address, filter_version)
select distinct m.deployment_id, m.irm, 2 from market m
where m.irm <> decode(repeat('00', 20), 'hex') on conflict do nothing;
insert into block_range (deployment_id, filter_version, from_block, to_block, state, reason)
select d.id, v.version, d.first_block, c.block_number,
  case v.version when 1 then 'verified' else 'missing' end,
  case v.version when 1 then null else 'read before the ledger was kept' end
from deployment d
join cursor c on c.deployment_id = d.id and c.job = 'consume-events'
join lateral (select distinct filter_version as version from watched w where w.deployment_id = d.id) v
  on true
where c.block_number >= d.first_block;
