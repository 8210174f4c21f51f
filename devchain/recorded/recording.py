"""Reads recorded chains: full recordings with blocks, and bare streams of logs with times."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..encoding import ZERO_HASH, keccak, to_hex


@dataclass(slots=True)
class RecordedMarket:
    """What a recording knows of a market beside its logs."""

    id: str
    irm: str
    oracle: str | None = None
    feed: str | None = None
    fixed_rate: int | None = None
    final: list[int] | None = None


@dataclass(slots=True)
class Recording:
    """A recorded chain in the one form that everything here reads.

    `kind` is `morpho` (with prices from Chainlink rounds), `moolah` (with prices and brokers'
    answers at some blocks) or `moolah_logs` (no prices).
    """

    kind: str
    chain_id: int
    core: str
    adaptive_irm: str
    fixed_irm: str
    blocks: list[dict[str, Any]]
    logs: list[dict[str, Any]]
    markets: list[RecordedMarket]
    tokens: dict[str, tuple[str, int]]
    aggregators: dict[str, str] = field(default_factory=dict)
    first_prices: dict[str, int] = field(default_factory=dict)
    # Prices of tokens from recorded answers: (block, token, price), in order.
    peeks: list[tuple[int, str, int]] = field(default_factory=list)
    # Market ids by their brokers.
    brokers: dict[str, str] = field(default_factory=dict)
    rate_calculator: str = ""
    oracle: str = ""

    @property
    def is_moolah(self) -> bool:
        return self.kind.startswith("moolah")

    @property
    def first_block(self) -> int:
        return int(self.logs[0]["blockNumber"], 16)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file, gzipped or not."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)


def load(path: Path) -> Recording:
    """The recording or log stream in this file."""
    content = read_json(path)
    if "morpho" in content:
        return _full_recording(content)
    if "moolah" in content and "snapshots" in content:
        return _moolah_recording(content)
    if "blocks" not in content and "logs" in content:
        return _log_stream(content)
    raise ValueError(f"{path.name}: neither a Morpho recording nor a stream of Moolah logs")


def _full_recording(content: dict[str, Any]) -> Recording:
    first_hour = content["hourly"][0]["markets"]
    return Recording(
        kind="morpho",
        chain_id=content.get("chainId", 1),
        core=content["morpho"].lower(),
        adaptive_irm=content["irm"].lower(),
        fixed_irm="",
        blocks=content["blocks"],
        logs=content["logs"],
        markets=[
            RecordedMarket(m["id"], m["irm"].lower(), m["oracle"].lower(), m.get("feed"))
            for m in content["markets"]
        ],
        tokens={
            token["address"].lower(): (symbol, token["decimals"])
            for symbol, token in content["tokens"].items()
        },
        aggregators={a.lower(): name for name, a in content["aggregators"].items()},
        first_prices={
            m["oracle"].lower(): int(first_hour[m["id"]]["price"]) for m in content["markets"]
        },
    )


def _moolah_recording(content: dict[str, Any]) -> Recording:
    tokens = {symbol: token["address"].lower() for symbol, token in content["tokens"].items()}
    return Recording(
        kind="moolah",
        chain_id=content.get("chainId", 56),
        core=content["moolah"].lower(),
        adaptive_irm=content["irm"].lower(),
        fixed_irm=content["fixedIrm"].lower(),
        blocks=content["blocks"],
        logs=content["logs"],
        markets=[
            RecordedMarket(m["id"], m["irm"].lower(), m["oracle"].lower())
            for m in content["markets"]
        ],
        tokens={
            token["address"].lower(): (symbol, token["decimals"])
            for symbol, token in content["tokens"].items()
        },
        peeks=[
            (snapshot["block"], tokens[symbol], int(price))
            for snapshot in content["snapshots"]
            for symbol, price in snapshot["peek"].items()
        ],
        brokers={m["broker"].lower(): m["id"] for m in content["markets"] if m["broker"]},
        rate_calculator=content["rateCalculator"].lower(),
        oracle=content["oracle"].lower(),
    )


def _log_stream(content: dict[str, Any]) -> Recording:
    """One block for each distinct time, a first one before all, and a last one at the end."""
    times = sorted({entry["ts"] for entry in content["logs"]})
    end = content["endTimestamp"]
    times = [times[0] - 1, *times, *([end] if end > times[-1] else [])]
    blocks: list[dict[str, Any]] = []
    for number, timestamp in enumerate(times):
        parent = blocks[-1]["hash"] if blocks else ZERO_HASH
        block_hash = _made_hash("block", number, timestamp, parent)
        blocks.append(
            {"number": number, "timestamp": timestamp, "hash": block_hash, "parentHash": parent}
        )
    markets = [_stream_market(m) for m in content["markets"]]
    tokens: dict[str, tuple[str, int]] = {}
    for market in content["markets"]:
        loan, collateral = market["params"][0].lower(), market["params"][1].lower()
        tokens.setdefault(loan, (f"T{loan[2:6]}", content["loanDecimals"]))
        tokens.setdefault(collateral, (f"T{collateral[2:6]}", content["collDecimals"]))
    fixed = {m.irm for m in markets if m.fixed_rate is not None}
    adaptive = {m.irm for m in markets if m.fixed_rate is None and int(m.irm, 16)} - fixed
    return Recording(
        kind="moolah_logs",
        chain_id=1,
        core=content["logs"][0]["address"].lower(),
        adaptive_irm=next(iter(adaptive), ""),
        fixed_irm=next(iter(fixed), ""),
        blocks=blocks,
        logs=_placed_logs(content["logs"], blocks),
        markets=markets,
        tokens=tokens,
    )


def _stream_market(market: dict[str, Any]) -> RecordedMarket:
    rate = market["fixedRate"]
    return RecordedMarket(
        market["id"],
        market["params"][3].lower(),
        oracle=market["params"][2].lower(),
        fixed_rate=None if rate is None else int(rate),
        final=[int(word) for word in market["market"]],
    )


def _placed_logs(
    stream: list[dict[str, Any]], blocks: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    numbers = {block["timestamp"]: block["number"] for block in blocks[1:]}
    indexes: dict[int, int] = {}
    placed = []
    for position, entry in enumerate(stream):
        number = numbers[entry["ts"]]
        index = indexes.get(number, -1) + 1
        indexes[number] = index
        placed.append(
            {
                "address": entry["address"].lower(),
                "topics": entry["topics"],
                "data": entry["data"],
                "blockNumber": hex(number),
                "blockHash": blocks[number]["hash"],
                "blockTimestamp": hex(entry["ts"]),
                "transactionHash": _made_hash("transaction", position),
                "transactionIndex": hex(index),
                "logIndex": hex(index),
                "removed": False,
            }
        )
    return placed


def _made_hash(*parts: object) -> str:
    return to_hex(keccak(repr(parts).encode()))
