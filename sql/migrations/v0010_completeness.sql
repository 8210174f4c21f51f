-- Whether each deployment's mirror stands on proved logs up to its cursor. Open are ranges that are not
-- verified, and blocks that no range holds; accepted are ranges that an operator took as they were.
create view completeness as
with begun as (
  select d.id, d.name, c.block_number as last, coalesce(d.bootstrap_block + 1, d.first_block) as first
  from deployment d
  left join cursor c on c.deployment_id = d.id and c.job = 'consume-events'
), version as (
  select b.id, v.filter_version, b.last - b.first + 1 - coalesce(sum(
      least(r.to_block, b.last) - greatest(r.from_block, b.first) + 1), 0) as blocks_without_range,
    count(r.*) filter (where r.state <> 'verified') as open_ranges,
    count(r.*) filter (where r.state = 'verified' and r.reason is not null) as accepted_ranges,
    min(r.from_block) filter (where r.state <> 'verified') as first_open_block
  from begun b
  join (select distinct deployment_id, filter_version from watched) v on v.deployment_id = b.id
  left join block_range r on r.deployment_id = b.id and r.filter_version = v.filter_version
    and r.from_block <= b.last and r.to_block >= b.first
  where b.last >= b.first
  group by b.id, b.first, b.last, v.filter_version
)
select b.name as deployment, b.last as cursor_block,
  coalesce(sum(v.open_ranges), 0)::bigint as open_ranges, min(v.first_open_block) as first_open_block,
  coalesce(sum(v.blocks_without_range), 0)::bigint as blocks_without_range,
  coalesce(sum(v.accepted_ranges), 0)::bigint as accepted_ranges,
  b.last is not null and coalesce(sum(v.open_ranges), 0) = 0
    and coalesce(sum(v.blocks_without_range), 0) = 0 as is_complete
from begun b left join version v on v.id = b.id
group by b.name, b.last;
