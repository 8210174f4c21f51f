"""Blocks of the dev chain, with header hashes that a client can compute again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import rlp

from .bloom import bloom_bits, bloom_text
from .encoding import ZERO_HASH, from_hex, keccak, to_hex
from .transactions import Transaction
from .tries import EMPTY_ROOT, ordered_root

MINER = "0x" + "c0" * 20
NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"


@dataclass(frozen=True, slots=True)
class StateEdit:
    """A change of state that no transaction made: `balance`, `code` or `storage`."""

    kind: str
    address: str
    value: int = 0
    code: bytes = b""
    slot: int = 0


@dataclass(slots=True)
class Block:
    """One sealed block: what made it, and what came out of it."""

    number: int
    parent_hash: str
    timestamp: int
    base_fee: int
    gas_limit: int
    fork: int
    transactions: list[Transaction] = field(default_factory=list)
    edits: list[StateEdit] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    gas_used: int = 0
    bloom: int = 0
    receipts_root: str = EMPTY_ROOT
    hash: str = ZERO_HASH

    @property
    def randao(self) -> str:
        return to_hex(keccak(b"randao" + self.number.to_bytes(8, "big")))

    def seal(self, emitted: list[tuple[str, list[str]]], receipts: list[bytes]) -> None:
        """Fixes bloom, receipts and hash, once all but the logs' block hashes is known.

        `receipts` are in the form in which the trie holds them.
        """
        self.bloom = bloom_bits(emitted)
        self.receipts_root = ordered_root(receipts)
        header = self.header_fields()
        self.hash = to_hex(keccak(rlp.encode([from_hex(header[name]) for name in _HASHED])))

    def header_fields(self) -> dict[str, str]:
        """The header as hex fields. The state root is a placeholder, and no trie.

        A transaction without a signature has no encoding; its hash stands for it in the trie.
        """
        content = b"".join(from_hex(item.hash) for item in self.transactions)
        mark = self.fork.to_bytes(8, "big") + self.number.to_bytes(8, "big")
        return {
            "parentHash": self.parent_hash,
            "sha3Uncles": NO_UNCLES,
            "miner": MINER,
            "stateRoot": to_hex(keccak(b"state" + mark + content)),
            "transactionsRoot": ordered_root(
                [from_hex(item.raw or item.hash) for item in self.transactions]
            ),
            "receiptsRoot": self.receipts_root,
            "logsBloom": bloom_text(self.bloom),
            "difficulty": "0x",
            "number": _rlp_integer(self.number),
            "gasLimit": _rlp_integer(self.gas_limit),
            "gasUsed": _rlp_integer(self.gas_used),
            "timestamp": _rlp_integer(self.timestamp),
            "extraData": to_hex(b"devchain" + self.fork.to_bytes(4, "big")),
            "mixHash": self.randao,
            "nonce": "0x" + "00" * 8,
            "baseFeePerGas": _rlp_integer(self.base_fee),
        }

    def as_json(self, full_transactions: bool) -> dict[str, Any]:
        """The block as `eth_getBlockBy…` tells it."""
        header: dict[str, Any] = self.header_fields()
        for name in _QUANTITIES:
            header[name] = hex(int(header[name], 16)) if len(header[name]) > 2 else "0x0"
        body = [
            self.transaction_json(index) if full_transactions else item.hash
            for index, item in enumerate(self.transactions)
        ]
        rest = {"hash": self.hash, "size": "0x400", "uncles": [], "totalDifficulty": "0x0"}
        return header | rest | {"transactions": body}

    def transaction_json(self, index: int) -> dict[str, Any]:
        """One transaction as `eth_getTransactionByHash` tells it."""
        item = self.transactions[index]
        place = {
            "blockHash": self.hash,
            "blockNumber": hex(self.number),
            "transactionIndex": hex(index),
            "gasPrice": hex(item.effective_price(self.base_fee)),
        }
        return transaction_fields(item) | place


def transaction_fields(item: Transaction) -> dict[str, Any]:
    """The fields of a transaction that do not depend on its block."""
    parity, r, s = item.signature
    return {
        "hash": item.hash,
        "type": hex(item.kind),
        "from": item.sender,
        "nonce": hex(item.nonce),
        "to": item.to,
        "value": hex(item.value),
        "input": to_hex(item.data),
        "gas": hex(item.gas),
        "maxFeePerGas": hex(item.max_fee),
        "maxPriorityFeePerGas": hex(item.max_tip),
        "chainId": hex(item.chain_id or 0),
        "v": hex(parity),
        "r": hex(r),
        "s": hex(s),
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
    }


def _rlp_integer(value: int) -> str:
    return "0x" + f"{value:x}" if value else "0x"


_HASHED = tuple(Block(0, ZERO_HASH, 0, 0, 0, 0).header_fields())
_QUANTITIES = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas")
