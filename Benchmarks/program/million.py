"""Refresh and scan of a million positions in 200 markets."""

from __future__ import annotations

import json

import figures
from place import Database, Node, Place, Run, Sql

_MARKETS = 200
_POSITIONS = 1_000_000
_LIQUIDATABLE = 100

# Debts between 0.30 and 0.95 of what the collateral carries; the first of every 10,000 is over it.
_POSITIONS_SQL = f"""
insert into position
  (market_id, user_address, supply_shares, borrow_shares, collateral, as_of_block)
select m.id, substr(sha256(n::text::bytea), 1, 20), 0,
  trunc(collateral * 2000 * 0.86 * 1e6 * part), collateral, m.as_of_block
from (
  select n, (1e15 + mod(n::numeric * 7919 * 104729, 1e6) * 1e14 + n)::numeric as collateral,
    case when n % ({_POSITIONS} / {_LIQUIDATABLE}) = 0 then 1.01
      else 0.30 + mod(n * 31, 65) / 100.0 end as part
  from generate_series(1, {_POSITIONS}) n
) p join (select id, as_of_block, row_number() over (order by id) as place from market) m
  on m.place = 1 + n % {_MARKETS};
update market m set total_borrow_shares = s.shares, total_borrow_assets = trunc(s.shares / 1e6),
  total_supply_assets = trunc(s.shares / 0.9e6), total_supply_shares = trunc(s.shares / 0.9)
from (select market_id, sum(borrow_shares) as shares from position group by market_id) s
where s.market_id = m.id;
"""

# What a refresh would be if every position had a row of its own: the same numbers, computed in the
# statement, written into a table.
_BARE_SQL = """
set client_min_messages = error;
drop table if exists debt_bare, debt_next;
create table debt_bare (position_id bigint primary key, borrowed numeric(78, 0),
  trigger_price numeric(78, 0)) with (fillfactor = 50);
insert into debt_bare select * from position_debt;
"""
_BARE_UPDATE = """
set work_mem = '128MB';
update debt_bare d set borrowed = s.borrowed, trigger_price = s.trigger_price
from position_debt s where s.position_id = d.position_id
  and (d.borrowed, d.trigger_price) is distinct from (s.borrowed, s.trigger_price);
"""
# The same without the arithmetic: the numbers stand in another table already.
_NEXT_SQL = """
create unlogged table debt_next as
  select position_id, borrowed + 1 as borrowed, trigger_price + 1 as trigger_price
  from debt_bare;
"""
_NEXT_UPDATE = _BARE_UPDATE.replace("from position_debt s", "from debt_next s")
_DIFFERENT_SQL = """
select count(*) from debt_bare d full join position_debt s using (position_id)
where (d.borrowed, d.trigger_price) is distinct from (s.borrowed, s.trigger_price)
"""


def million(place: Place, rounds: int, is_long: bool) -> None:  # noqa: ARG001
    with Node(place, logs=0, markets=_MARKETS) as node:
        database = place.database("million")
        flags = node.settings(database)
        place.job("consume-events", *flags)
        database.do(_POSITIONS_SQL)
        database.rest()
        first = place.job("refresh-debt", *flags)
        start = _timestamp(first.output)
        refreshes: list[Run] = []
        scans: list[Run] = []
        updates: list[Sql] = []
        copies: list[Sql] = []
        derived: list[Sql] = []
        stored: list[Sql] = []
        reads: list[Sql] = []
        wal = []
        for number in range(rounds):
            database.do(_BARE_SQL)
            database.rest()
            before = database.wal()
            at = str(start + 3600 * (number + 1))
            refreshes.append(place.job("refresh-debt", *flags, "--at", at))
            wal.append((database.wal() - before) / 1e6)
            assert int(json.loads(refreshes[-1].output)["counters"]["positions"]) == _POSITIONS
            assert int(database.do(_DIFFERENT_SQL)) == _POSITIONS
            database.rest()
            updates.append(database.measure(_BARE_UPDATE))
            assert int(database.do(_DIFFERENT_SQL)) == 0
            database.rest()
            derived.append(database.measure(_sum("position_debt")))
            stored.append(database.measure(_sum("debt_bare")))
            database.do(_NEXT_SQL)
            database.rest()
            copies.append(database.measure(_NEXT_UPDATE))
            database.rest()
            scans.append(place.job("scan-liquidations", *flags))
            _check(scans[-1].output)
            reads.append(_bare_read(database))
        place.drop(database)
    figures.header(f"{_POSITIONS:,} positions with debt in {_MARKETS} markets, seconds")
    figures.line("refresh-debt, first time", [first.seconds], 2)
    _tell("refresh-debt (all debts change)", refreshes, "bare UPDATE, computed", updates)
    _compare("bare UPDATE, from a table", refreshes, copies)
    figures.line("  write-ahead log, MB", wal)
    figures.line("reading every debt (view position_debt)", [d.seconds for d in derived], 2)
    figures.line("reading every debt from a table", [s.seconds for s in stored], 2)
    _tell("scan-liquidations", scans, "bare binary COPY of the rows to nowhere", reads)


def _sum(relation: str) -> str:
    return f"select count(*), sum(borrowed), sum(trigger_price) from {relation};"


def _compare(name: str, runs: list[Run], bare: list[Sql]) -> None:
    figures.line(name, [b.seconds for b in bare], 2)
    figures.ratios("ratio", [r.seconds for r in runs], [b.seconds for b in bare])


def _tell(name: str, runs: list[Run], bare_name: str, bare: list[Sql]) -> None:
    figures.line(name, [r.seconds for r in runs], 2)
    _compare(bare_name, runs, bare)
    figures.line("  CPU of the program", [r.cpu_seconds for r in runs], 2)
    figures.line("  CPU of the server", [r.server_seconds for r in runs], 2)
    figures.line("  CPU of the server for the bare statement", [b.server_seconds for b in bare], 2)
    figures.line("  peak memory of the program, MB", [r.megabytes for r in runs])


def _bare_read(database: Database) -> Sql:
    rows = "select id, market_id, user_address, borrow_shares, collateral from position"
    query = f"{rows} where borrow_shares > 0"
    return database.measure(f"\\copy ({query}) to '/dev/null' (format binary)")


def _timestamp(output: str) -> int:
    return int(_named(json.loads(output), "bench timestamp"))


def _check(output: str) -> None:
    counters = json.loads(output)["counters"]
    assert int(counters["positions"]) == _POSITIONS, counters
    assert int(counters["liquidatable"]) == _LIQUIDATABLE, counters
    assert int(counters["unknown"]) == 0, counters


def _named(document: object, name: str) -> str:
    """The value of that name, wherever it stands."""
    if isinstance(document, dict):
        if name in document:
            return str(document[name])
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            if found := _named(part, name):
                return found
    return ""
