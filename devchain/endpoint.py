"""What every served chain answers alike: tags, headers, log queries, limits and counters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .bloom import EMPTY_BLOOM
from .encoding import parse_quantity
from .faults import Limits, other_hash
from .jsonrpc import Dispatcher, RpcError, Serialised


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The address and topic conditions of one `eth_getLogs`; None admits everything."""

    addresses: frozenset[str] | None
    topics: tuple[frozenset[str] | None, ...]

    @classmethod
    def parse(cls, wanted: dict[str, Any]) -> LogFilter:
        return cls(
            _lowercase_set(wanted.get("address")),
            tuple(_lowercase_set(entry) for entry in wanted.get("topics") or []),
        )

    def admits(self, address: str, topics: list[str]) -> bool:
        """Whether a log with this address and these topics passes."""
        if self.addresses is not None and address not in self.addresses:
            return False
        if len(topics) < len(self.topics):
            return False
        return all(
            wanted is None or topics[index] in wanted for index, wanted in enumerate(self.topics)
        )


class Endpoint(Dispatcher):
    """The read side of a node. Subclasses say what the chain is; this says how it is told."""

    finality = 2

    def __init__(self, chain_id: int) -> None:
        super().__init__()
        self.chain_id = chain_id
        self.limits = Limits()
        self.methods |= {
            "eth_chainId": lambda *_: hex(self.chain_id),
            "net_version": lambda *_: str(self.chain_id),
            "web3_clientVersion": lambda *_: f"plimsoll-devchain/{type(self).__name__}",
            "eth_syncing": lambda *_: False,
            "eth_blockNumber": lambda *_: hex(self.visible_head()),
            "eth_getBlockByNumber": self.block_by_number,
            "eth_getBlockByHash": self.block_by_hash,
            "eth_getLogs": self.get_logs,
            "eth_getBlockReceipts": self.block_receipts,
            "eth_getTransactionReceipt": self.transaction_receipt,
            "dev_fault": self.plan.add,
            "dev_limits": self.set_limits,
            "dev_stats": self.stats,
        }

    # What a subclass tells about its chain.

    def head_number(self) -> int:
        raise NotImplementedError

    def number_of_hash(self, block_hash: str) -> int | None:
        raise NotImplementedError

    def header(self, number: int, full_transactions: bool) -> dict[str, Any]:
        raise NotImplementedError

    def logs_between(
        self, first: int, last: int, wanted: LogFilter
    ) -> Iterable[dict[str, Any] | bytes]:
        raise NotImplementedError

    def receipts(self, number: int) -> list[dict[str, Any]]:
        """The receipts of a block, in order."""
        raise NotImplementedError

    def place_of(self, transaction_hash: str) -> tuple[int, int] | None:
        """The block and the place in it of a transaction."""
        raise NotImplementedError

    # How it is told.

    def visible_head(self) -> int:
        """The head, less what a `lag` fault hides during this request."""
        return max(0, self.head_number() - sum(fault.lag for fault in self.active))

    def resolve(self, tag: Any) -> int:
        """The block number that a tag, quantity or EIP-1898 object means."""
        if isinstance(tag, dict):
            if tag.get("blockHash"):
                number = self.number_of_hash(tag["blockHash"].lower())
                if number is None or number > self.visible_head():
                    raise RpcError(-32000, "header for hash not found")
                return number
            tag = tag.get("blockNumber")
        if tag in (None, "latest", "pending"):
            return self.visible_head()
        if tag in ("safe", "finalized"):
            return max(0, self.visible_head() - self.finality)
        return 0 if tag == "earliest" else parse_quantity(tag)

    def resolve_known(self, tag: Any) -> int:
        """As `resolve`, and the block must exist."""
        number = self.resolve(tag)
        if not 0 <= number <= self.visible_head():
            raise RpcError(-32000, "header not found")
        return number

    def block_by_number(self, tag: Any, full: bool = False) -> dict[str, Any] | None:
        number = self.resolve(tag)
        return self._told_header(number, full) if 0 <= number <= self.visible_head() else None

    def block_by_hash(self, block_hash: str, full: bool = False) -> dict[str, Any] | None:
        number = self.number_of_hash(block_hash.lower())
        known = number is not None and number <= self.visible_head()
        return self._told_header(number, full) if known else None

    def _told_header(self, number: int, full: bool) -> dict[str, Any]:
        header = self.header(number, full)
        if not header["transactions"] and any(fault.bloom_lies for fault in self.active):
            header = header | {"logsBloom": self._some_bloom(number)}
        if any(fault.wrong_hash for fault in self.active):
            return header | {"hash": other_hash(header["hash"])}
        return header

    def _some_bloom(self, number: int) -> str:
        """The bloom of the nearest block that has logs."""
        told = (self.header(other, False)["logsBloom"] for other in range(number, -1, -1))
        return next((bloom for bloom in told if int(bloom, 16)), EMPTY_BLOOM)

    def block_receipts(self, tag: Any) -> list[dict[str, Any]] | None:
        if isinstance(tag, str) and len(tag) == 66:
            tag = {"blockHash": tag}
        self._refuse_receipts("eth_getBlockReceipts")
        number = self.resolve(tag)
        if not 0 <= number <= self.visible_head():
            return None
        return self._told_receipts(self.receipts(number))

    def transaction_receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        self._refuse_receipts("eth_getTransactionReceipt")
        place = self.place_of(transaction_hash.lower())
        if place is None or place[0] > self.visible_head():
            return None
        return self._told_receipts(self.receipts(place[0]))[place[1]]

    def _refuse_receipts(self, method: str) -> None:
        if any(fault.no_receipts for fault in self.active):
            raise RpcError(-32601, f"the method {method} does not exist/is not available")

    def _told_receipts(self, receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for fault in self.active:
            receipts = fault.mutate_receipts(receipts)
        return receipts

    def get_logs(self, wanted: dict[str, Any]) -> Serialised | list[dict[str, Any]]:
        if wanted.get("blockHash"):
            first = last = self.resolve({"blockHash": wanted["blockHash"]})
        else:
            first = self.resolve(wanted.get("fromBlock"))
            last = self.resolve(wanted.get("toBlock"))
            if first > last:
                raise RpcError(-32000, "invalid block range params")
            if refused := self.limits.refusal_of_range(first, last):
                raise RpcError(*refused)
            last = min(last, self.visible_head())
        logs = list(self.logs_between(first, last, LogFilter.parse(wanted)))
        if refused := self.limits.refusal_of_count(len(logs), first, last):
            raise RpcError(*refused)
        return self._told_logs(logs)

    def _told_logs(self, logs: list[dict[str, Any] | bytes]) -> Serialised | list[dict[str, Any]]:
        mutating = [fault for fault in self.active if fault.touches_logs]
        texts = [entry for entry in logs if isinstance(entry, bytes)]
        if texts and not mutating:
            return Serialised.array(texts)
        told = [json.loads(entry) if isinstance(entry, bytes) else entry for entry in logs]
        for fault in mutating:
            told = fault.mutate_logs(told)
        return told

    def set_limits(self, wanted: dict[str, Any]) -> bool:
        self.limits = Limits(**wanted)
        return True

    def stats(self, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """Counters of requests, methods and faults; `{"reset": true}` starts them anew."""
        told = {
            "head": self.head_number(),
            "counts": dict(self.counts),
            "unknown_methods": dict(self.unknown_methods),
            "faults_applied": dict(self.plan.applied),
            "faults_waiting": len(self.plan.waiting),
        }
        if options and options.get("reset"):
            self.counts.clear()
            self.unknown_methods.clear()
            self.plan.applied.clear()
        return told


def _lowercase_set(wanted: str | list[str] | None) -> frozenset[str] | None:
    if not wanted:
        return None
    return frozenset(item.lower() for item in ([wanted] if isinstance(wanted, str) else wanted))
