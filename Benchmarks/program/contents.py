"""What tables hold, as one number each, without keys that count insertions."""

from __future__ import annotations

from typing import NamedTuple

from place import Database

_EVENTS = (
    ("block_number", "log_index", "transaction_index"),
    ("block_hash", "transaction_hash", "address", "topic0", "topic1", "topic2", "topic3", "data"),
)
_TABLES = {
    "position": (
        "position p join market m on m.id = p.market_id",
        "m.market_key, user_address, supply_shares, borrow_shares, collateral",
    ),
    "market": (
        "market",
        "market_key, total_supply_assets, total_supply_shares, total_borrow_assets, "
        "total_borrow_shares, last_update, fee_wad",
    ),
    "user_operation": (
        "user_operation",
        "block_number, log_index, kind, user_address, caller, assets, shares, timestamp, "
        "transaction_hash",
    ),
    "block": ("block", "number, hash, parent_hash, timestamp, canonical"),
    "cursor": ("cursor", "job, block_number, block_hash"),
    "set_aside": ("set_aside", "market_key"),
    "open ranges": ("block_range where state <> 'verified'", "from_block, to_block"),
}


class Sum(NamedTuple):
    """Rows, different places in the chain among them, and a sum over what they say."""

    rows: int
    places: int
    hash: str


def our_events(database: Database) -> Sum:
    """Our event table."""
    numbers, hexadecimal = _EVENTS
    columns = [*numbers, *(f"'0x' || encode({name}, 'hex')" for name in hexadecimal)]
    return _sum(database, "event", columns)


def peer_logs(database: Database) -> Sum:
    """The peer's table, in words that make it equal to ours when it says the same."""
    numbers, hexadecimal = _EVENTS
    return _sum(database, "logs", [*numbers, *hexadecimal])


def derived(database: Database) -> dict[str, str]:
    """What our program derives from events, and how far it is."""
    return {
        name: database.do(f"select {_hash(columns.split(','))} from {source}")
        for name, (source, columns) in _TABLES.items()
    }


def _sum(database: Database, table: str, columns: list[str]) -> Sum:
    told = database.do(
        f"select count(*), count(distinct (block_number, log_index)), {_hash(columns)} from {table}"
    )
    rows, places, number = told.split("|")
    return Sum(int(rows), int(places), number)


def _hash(columns: list[str]) -> str:
    texts = ", ".join(f"coalesce(({name})::text, '-')" for name in columns)
    return f"count(*) || '/' || coalesce(sum(hashtextextended(concat_ws('/', {texts}), 0)), 0)"
