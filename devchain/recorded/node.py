"""JSON-RPC over a recording, with a movable head and reorgs.

Beside the methods of `Endpoint`:

    dev_reorg {depth, drop, advance}   new hashes for the last `depth` visible blocks. drop=K puts
        an empty block before the block of the K-th last visible log, so that all transactions
        from there on come one block later, at their old times (recorded interest stays exact).
        Unless advance is false, the head then moves one up, so that nothing is hidden. Numbers
        after the insertion are the recording's plus one; the answer says where.
    dev_head {block | advance: N | full: true}      moves the head
    dev_strict {on}                                 see `Multicall`
    dev_snapshot_block {block}                      a served block's number in the recording
    dev_stats {reset}                               counters, `unanswered` calls among them

A call that the recording cannot answer is an RPC error, counted in `unanswered`, never a made-up
number. Header hashes are recorded ones and cannot be computed again. Blooms and receipt roots are
true of what was recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..bloom import bloom_bits, bloom_text
from ..encoding import ZERO_ADDRESS, from_hex, keccak, parse_quantity, to_hex
from ..endpoint import Endpoint, LogFilter
from ..jsonrpc import RpcError
from ..reverts import Revert
from ..tries import ordered_root, receipt_bytes
from .answers import Answers, CannotAnswer, Moment
from .multicall import Multicall
from .recording import Recording

_BASE_FEE = 10**9
_GAS_LIMIT = 30_000_000
_GAS = 21_000
_NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"


@dataclass(frozen=True)
class ServedBlock:
    """A recorded block at the place where it is served; `origin` is its recorded number."""

    number: int
    origin: int
    timestamp: int
    hash: str
    parent_hash: str
    logs: tuple[dict[str, Any], ...]

    @cached_property
    def bloom(self) -> str:
        return bloom_text(bloom_bits((entry["address"], entry["topics"]) for entry in self.logs))

    @cached_property
    def lines(self) -> list[bytes]:
        """The logs as JSON text, placed in this block."""
        place = {"blockNumber": hex(self.number), "blockHash": self.hash}
        texts = (json.dumps(entry | place, separators=(",", ":")) for entry in self.logs)
        return [text.encode() for text in texts]

    @cached_property
    def by_transaction(self) -> dict[str, list[dict[str, Any]]]:
        """The logs of each transaction, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in self.logs:
            found.setdefault(entry["transactionHash"], []).append(entry)
        return found

    @cached_property
    def receipts_root(self) -> str:
        encoded = []
        for index, logs in enumerate(self.by_transaction.values()):
            items = [(e["address"], e["topics"], e["data"]) for e in logs]
            bloom = bloom_bits((address, topics) for address, topics, _ in items)
            encoded.append(receipt_bytes(2, True, _GAS * (index + 1), bloom, items))
        return ordered_root(encoded)

    @cached_property
    def transactions(self) -> dict[str, str]:
        """Transaction hashes with their indexes, in order."""
        return {entry["transactionHash"]: entry["transactionIndex"] for entry in self.logs}


class RecordedNode(Endpoint):
    """One recording, served up to a head that may lie before its end."""

    def __init__(
        self,
        recording: Recording,
        *,
        head: int | None = None,
        finality: int = 2,
        chain_id: int | None = None,
        log_timestamps: bool = True,
    ) -> None:
        super().__init__(recording.chain_id if chain_id is None else chain_id)
        self.recording = recording
        self.finality = finality
        self.blocks = _served_blocks(recording, log_timestamps)
        self.head = self.last if head is None else min(head, self.last)
        self.inserted: list[int] = []
        self.unanswered: Counter[str] = Counter()
        self.answers = Answers(recording)
        self.multicall = Multicall(
            self.answers, self.chain_id, lambda number: self.blocks[number].hash
        )
        self._reorgs = 0
        self._index()
        self.methods |= {
            "eth_call": self.eth_call,
            "eth_getCode": self.code,
            "eth_getBalance": lambda *_: hex(10**20),
            "eth_getTransactionCount": lambda *_: "0x0",
            "eth_gasPrice": lambda: hex(2 * _BASE_FEE),
            "eth_maxPriorityFeePerGas": lambda: hex(_BASE_FEE),
            "dev_reorg": self.reorg,
            "dev_head": self.move_head,
            "dev_strict": self.set_strict,
            "dev_snapshot_block": self.snapshot_block,
        }

    @property
    def last(self) -> int:
        return len(self.blocks) - 1

    def _index(self) -> None:
        self.numbers = {block.hash: block.number for block in self.blocks}
        self.places = {
            transaction: block.number for block in self.blocks for transaction in block.transactions
        }

    # MARK: the chain, as `Endpoint` asks for it

    def head_number(self) -> int:
        return self.head

    def number_of_hash(self, block_hash: str) -> int | None:
        return self.numbers.get(block_hash)

    def header(self, number: int, full_transactions: bool) -> dict[str, Any]:
        block = self.blocks[number]
        body: list[Any] = list(block.transactions)
        if full_transactions:
            body = [self._transaction(item, block) for item in body]
        return {
            "number": hex(number),
            "hash": block.hash,
            "parentHash": block.parent_hash,
            "timestamp": hex(block.timestamp),
            "logsBloom": block.bloom,
            "baseFeePerGas": hex(_BASE_FEE),
            "gasLimit": hex(_GAS_LIMIT),
            "gasUsed": hex(_GAS * len(block.transactions)),
            "miner": "0x" + "c0" * 20,
            "mixHash": block.hash,
            "stateRoot": block.hash,
            "receiptsRoot": block.receipts_root,
            "transactionsRoot": block.hash,
            "sha3Uncles": _NO_UNCLES,
            "difficulty": "0x0",
            "totalDifficulty": "0x0",
            "extraData": "0x",
            "nonce": "0x" + "00" * 8,
            "size": "0x400",
            "uncles": [],
            "transactions": body,
        }

    def _transaction(self, transaction_hash: str, block: ServedBlock) -> dict[str, Any]:
        return {
            "hash": transaction_hash,
            "blockHash": block.hash,
            "blockNumber": hex(block.number),
            "transactionIndex": block.transactions[transaction_hash],
            "from": ZERO_ADDRESS,
            "to": None,
            "nonce": "0x0",
            "value": "0x0",
            "gas": "0x0",
            "gasPrice": hex(_BASE_FEE),
            "input": "0x",
            "type": "0x2",
            "chainId": hex(self.chain_id),
        }

    def logs_between(self, first: int, last: int, wanted: LogFilter) -> Iterable[bytes]:
        for block in self.blocks[first : last + 1]:
            if block.logs:
                for entry, line in zip(block.logs, block.lines, strict=True):
                    if wanted.admits(entry["address"], entry["topics"]):
                        yield line

    # MARK: calls

    def eth_call(
        self, request: dict[str, Any], tag: Any = "latest", state: Any = None, block: Any = None
    ) -> str:
        if state:
            raise RpcError(-32602, "state overrides are not supported")
        served = self.blocks[self.resolve_known(tag)]
        overrides = block or {}
        moment = Moment(
            served.origin,
            parse_quantity(overrides.get("time", served.timestamp)),
            parse_quantity(overrides.get("number", served.number)),
            (request.get("from") or ZERO_ADDRESS).lower(),
        )
        data = from_hex(request.get("input") or request.get("data") or "0x")
        try:
            return to_hex(self.answers.call(request["to"].lower(), data, moment))
        except Revert as revert:
            reason = f": {revert}" if str(revert) else ""
            raise RpcError(3, f"execution reverted{reason}", to_hex(revert.data)) from revert
        except CannotAnswer as error:
            self.unanswered[str(error)] += 1
            raise RpcError(-32000, f"recording: {error}") from error

    def code(self, address: str, tag: Any = "latest") -> str:
        """A contract exists from the first recorded log on."""
        exists = self.resolve_known(tag) >= self.recording.first_block
        return "0x01" if exists and address.lower() in self.answers.contracts else "0x"

    def receipts(self, number: int) -> list[dict[str, Any]]:
        """Receipts of the transactions that are known: those with recorded logs."""
        block = self.blocks[number]
        place = {"blockHash": block.hash, "blockNumber": hex(number)}
        told = []
        for index, (transaction, logs) in enumerate(block.by_transaction.items()):
            told.append(
                {
                    "transactionHash": transaction,
                    "transactionIndex": block.transactions[transaction],
                    **place,
                    "from": ZERO_ADDRESS,
                    "to": None,
                    "cumulativeGasUsed": hex(_GAS * (index + 1)),
                    "gasUsed": hex(_GAS),
                    "effectiveGasPrice": hex(_BASE_FEE),
                    "contractAddress": None,
                    "logs": [entry | place for entry in logs],
                    "logsBloom": bloom_text(bloom_bits((e["address"], e["topics"]) for e in logs)),
                    "type": "0x2",
                    "status": "0x1",
                }
            )
        return told

    def place_of(self, transaction_hash: str) -> tuple[int, int] | None:
        number = self.places.get(transaction_hash)
        if number is None:
            return None
        return number, list(self.blocks[number].by_transaction).index(transaction_hash)

    # MARK: development

    def reorg(self, wanted: dict[str, Any] | int = 1) -> dict[str, Any]:
        options = wanted if isinstance(wanted, dict) else {"depth": wanted}
        depth, drop = int(options.get("depth", 1)), int(options.get("drop", 0))
        first = max(1, self.head - depth + 1)
        self._reorgs += 1
        inserted = self._insert_empty(first, drop) if drop else None
        for number in range(first, len(self.blocks)):
            self.blocks[number] = self._rehashed(number)
        self._index()
        if inserted is not None and options.get("advance", True):
            self.head += 1
        return {
            "first_new": first,
            "inserted_at": inserted,
            "inserted": self.inserted,
            "head": self.head,
            "hash": self.blocks[self.head].hash,
        }

    def _insert_empty(self, first: int, drop: int) -> int:
        """Puts an empty block before the block of the `drop`-th last visible log."""
        place, remaining = self.head, drop
        for number in range(self.head, first - 1, -1):
            place = number
            remaining -= len(self.blocks[number].logs)
            if remaining <= 0:
                break
        before = self.blocks[place - 1]
        latest = self.blocks[place].timestamp - 1
        timestamp = max(before.timestamp, min(latest, before.timestamp + 1))
        empty = ServedBlock(place, before.origin, timestamp, "", "", ())
        self.blocks.insert(place, empty)
        self.inserted.append(place)
        return place

    def _rehashed(self, number: int) -> ServedBlock:
        block, parent = self.blocks[number], self.blocks[number - 1].hash
        seed = f"{self.recording.blocks[block.origin]['hash']}/{self._reorgs}/{number}/{parent}"
        block_hash = to_hex(keccak(seed.encode()))
        return replace(block, number=number, parent_hash=parent, hash=block_hash)

    def move_head(self, wanted: dict[str, Any]) -> str:
        if wanted.get("full"):
            target = self.last
        elif "advance" in wanted:
            target = self.head + int(wanted["advance"])
        else:
            target = _number(wanted["block"])
        self.head = max(0, min(target, self.last))
        return hex(self.head)

    def set_strict(self, wanted: dict[str, Any] | None = None) -> bool:
        self.multicall.strict = bool((wanted or {}).get("on", True))
        return self.multicall.strict

    def snapshot_block(self, wanted: dict[str, Any] | None = None) -> int:
        tag = (wanted or {}).get("block")
        number = self.head if tag is None else _number(tag)
        return self.blocks[number].origin

    def stats(self, options: dict[str, Any] | None = None) -> dict[str, Any]:
        told = super().stats(options) | {
            "last": self.last,
            "kind": self.recording.kind,
            "calls": dict(self.answers.asked),
            "unanswered": dict(self.unanswered),
            "inserted": self.inserted,
        }
        if options and options.get("reset"):
            self.answers.asked.clear()
            self.unanswered.clear()
        return told


def _served_blocks(recording: Recording, log_timestamps: bool) -> list[ServedBlock]:
    per_block: dict[int, list[dict[str, Any]]] = {}
    for entry in recording.logs:
        if not log_timestamps:
            entry = {key: value for key, value in entry.items() if key != "blockTimestamp"}
        per_block.setdefault(int(entry["blockNumber"], 16), []).append(entry)
    return [
        ServedBlock(
            number,
            number,
            block["timestamp"],
            block["hash"],
            block["parentHash"],
            tuple(per_block.get(number, ())),
        )
        for number, block in enumerate(recording.blocks)
    ]


def _number(value: str | int) -> int:
    return int(value, 0) if isinstance(value, str) else int(value)
