"""Transactions that wait for a block: nonce order, the replacement rule, and picking."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from .jsonrpc import RpcError
from .transactions import Transaction


class Mempool:
    """Waiting transactions by sender and nonce."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, tuple[int, Transaction]]] = {}
        self._arrivals = 0

    def __iter__(self) -> Iterator[Transaction]:
        return (item for queue in self._waiting.values() for _, item in queue.values())

    def add(self, item: Transaction) -> None:
        """Takes a transaction in; a second one with the same nonce must pay 10 % more."""
        queue = self._waiting.setdefault(item.sender, {})
        if item.nonce in queue:
            old = queue[item.nonce][1]
            if old.hash == item.hash:
                raise RpcError(-32000, "already known")
            if item.max_fee * 10 < old.max_fee * 11 or item.max_tip * 10 < old.max_tip * 11:
                raise RpcError(-32000, "replacement transaction underpriced")
        self._arrivals += 1
        queue[item.nonce] = (self._arrivals, item)

    def pending_nonce(self, sender: str, nonce: int) -> int:
        """The first nonce from `nonce` on that nothing waits with."""
        while nonce in self._waiting.get(sender, {}):
            nonce += 1
        return nonce

    def take(
        self, base_fee: int, gas_limit: int, next_nonce: Callable[[str], int]
    ) -> list[Transaction]:
        """The next block's transactions: best tip first, then arrival, each sender in order."""
        heap: list[tuple[int, int, str, int]] = []
        for sender in list(self._waiting):
            self._offer(heap, sender, next_nonce(sender), base_fee)
        chosen: list[Transaction] = []
        left = gas_limit
        while heap:
            _, _, sender, nonce = heapq.heappop(heap)
            item = self._waiting[sender][nonce][1]
            if item.gas > left:
                continue
            left -= item.gas
            chosen.append(item)
            del self._waiting[sender][nonce]
            self._offer(heap, sender, nonce + 1, base_fee)
        self._forget_used(next_nonce, chosen)
        return chosen

    def _offer(self, heap: list, sender: str, nonce: int, base_fee: int) -> None:
        entry = self._waiting[sender].get(nonce)
        if entry and entry[1].max_fee >= base_fee:
            tip = min(entry[1].max_tip, entry[1].max_fee - base_fee)
            heapq.heappush(heap, (-tip, entry[0], sender, nonce))

    def _forget_used(self, next_nonce: Callable[[str], int], chosen: list[Transaction]) -> None:
        used = {item.sender: item.nonce for item in chosen}
        for sender, queue in list(self._waiting.items()):
            floor = max(next_nonce(sender), used.get(sender, -1) + 1)
            self._waiting[sender] = {n: entry for n, entry in queue.items() if n >= floor}
            if not self._waiting[sender]:
                del self._waiting[sender]
