"""The dev chain: sealed blocks, archive state and reorgs, all rebuilt by replay.

A pyrevm state cannot be copied, so an older state is made by running the blocks again from the
start. A few such archive machines are kept and moved forward, which makes scans over rising
block numbers cheap; a replay costs about 20 microseconds a transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .blocks import Block, StateEdit
from .bloom import bloom_bits, bloom_text
from .encoding import ZERO_ADDRESS, ZERO_HASH, to_hex
from .jsonrpc import RpcError
from .mempool import Mempool
from .transactions import Transaction, renumbered, unlocked
from .tries import receipt_bytes
from .vm import Machine, Outcome

CALL_GAS = 1_000_000_000
_ARCHIVE_MACHINES = 3


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """What a reorg did: the first replaced block, and the transactions of the old branch."""

    first_block: int
    dropped: list[Transaction]


class Chain:
    """A chain in memory. Not safe for use from two threads."""

    def __init__(
        self,
        chain_id: int = 31337,
        *,
        genesis_time: int = 1_700_000_000,
        block_time: int = 1,
        gas_limit: int = 1_000_000_000,
        base_fee: int = 10**9,
        automine: bool = True,
    ) -> None:
        self.chain_id = chain_id
        self.block_time = block_time
        self.gas_limit = gas_limit
        self.automine = automine
        self.next_base_fee = base_fee
        self.blocks: list[Block] = []
        self.pool = Mempool()
        self.nonces: defaultdict[str, int] = defaultdict(int)
        self.places: dict[str, tuple[int, int]] = {}
        self.numbers: dict[str, int] = {}
        self._machine = Machine(chain_id)
        self._archive: list[tuple[int, Machine]] = []
        self._fork = 0
        self._next_timestamp: int | None = None
        self._time_offset = 0
        self._seal([], genesis_time)

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    # MARK: time

    def set_next_timestamp(self, timestamp: int) -> None:
        """The next block's time. It may equal the head's, as on chains with sub-second blocks."""
        if timestamp < self.head.timestamp:
            raise RpcError(-32602, f"timestamp {timestamp} is before the head's")
        self._next_timestamp = timestamp

    def increase_time(self, seconds: int) -> None:
        """Moves the next block that much further into the future."""
        self._time_offset += seconds

    def _take_timestamp(self) -> int:
        planned = self._next_timestamp
        regular = self.head.timestamp + self.block_time + self._time_offset
        self._next_timestamp, self._time_offset = None, 0
        return regular if planned is None else planned

    # MARK: writing

    def send(self, item: Transaction) -> str:
        """Puts a transaction in the pool, and mines it at once when automine is on."""
        self._check(item)
        self.pool.add(item)
        if self.automine:
            self.mine()
        return item.hash

    def transact(
        self, sender: str, to: str | None, data: bytes, *, gas: int = 30_000_000, value: int = 0
    ) -> Transaction:
        """Sends from an unlocked account, without looking at balances or gas prices."""
        nonce = self.pool.pending_nonce(sender, self.nonces[sender])
        item = unlocked(
            sender,
            nonce,
            to,
            data,
            chain_id=self.chain_id,
            value=value,
            gas=gas,
            max_fee=10**15,
            salt=self._fork,
        )
        self.pool.add(item)
        if self.automine:
            self.mine()
        return item

    def mine(self, count: int = 1) -> Block:
        """Seals `count` blocks from the pool."""
        for _ in range(count):
            chosen = self.pool.take(
                self.next_base_fee, self.gas_limit, lambda sender: self.nonces[sender]
            )
            self._seal(chosen, self._take_timestamp())
        return self.head

    def edit(self, change: StateEdit) -> None:
        """Changes state outside any transaction; belongs to the head block from now on."""
        self.head.edits.append(change)
        _apply_edit(self._machine, change)

    def reorg(
        self, depth: int, *, keep: bool = True, blocks: int | None = None, delay: int = 0
    ) -> Reorganisation:
        """Replaces the last `depth` blocks by a longer branch of `blocks` (default one more).

        With `keep` the dropped transactions come back, `delay` blocks later than before and at
        the old blocks' times; unlocked senders number them anew, so nothing gets stuck.
        """
        if not 0 < depth < len(self.blocks):
            raise RpcError(-32602, f"cannot take back {depth} of {len(self.blocks)} blocks")
        first = len(self.blocks) - depth
        old = self.blocks[first:]
        self._cut(first)
        self._fork += 1
        for index in range(depth + 1 if blocks is None else blocks):
            source = old[index - delay] if keep and 0 <= index - delay < depth else None
            timestamp = old[index].timestamp if index < depth else None
            self._reinclude(source.transactions if source else [], timestamp)
        dropped = [item for block in old for item in block.transactions]
        return Reorganisation(first, dropped)

    def mark(self) -> tuple[int, int]:
        """Where the chain stands, for `return_to`."""
        return self.head.number, len(self.head.edits)

    def return_to(self, mark: tuple[int, int]) -> None:
        """Takes back everything since `mark`, edits of its block included; mines nothing."""
        number, edits = mark
        if number > self.head.number:
            raise RpcError(-32602, "that point is no longer on this chain")
        del self.blocks[number].edits[edits:]
        self._cut(number + 1)

    def _reinclude(self, items: Iterable[Transaction], timestamp: int | None) -> None:
        upcoming: defaultdict[str, int] = defaultdict(int)
        chosen = []
        for item in items:
            nonce = self.nonces[item.sender] + upcoming[item.sender]
            again = renumbered(item, nonce, self._fork)
            if again.nonce == nonce:
                upcoming[item.sender] += 1
                chosen.append(again)
        self._seal(chosen, self._take_timestamp() if timestamp is None else timestamp)

    def _cut(self, first: int) -> None:
        """Forgets all blocks from `first` on, and the pool."""
        for block in self.blocks[first:]:
            del self.numbers[block.hash]
            for item in block.transactions:
                del self.places[item.hash]
        self.blocks = self.blocks[:first]
        self._archive = [(n, machine) for n, machine in self._archive if n < first]
        self._machine = self._replayed(first - 1)
        self.pool = Mempool()
        self.nonces.clear()
        for block in self.blocks:
            for item in block.transactions:
                self.nonces[item.sender] = item.nonce + 1
        self.next_base_fee = _following_base_fee(self.head)

    # MARK: reading

    def call(
        self,
        to: str | None,
        data: bytes,
        *,
        sender: str = ZERO_ADDRESS,
        value: int = 0,
        gas: int = CALL_GAS,
        block: int | None = None,
        timestamp: int | None = None,
        number: int | None = None,
    ) -> Outcome:
        """Runs a message on the state after a block, at that block's time unless told otherwise."""
        at = self.head if block is None else self.blocks[block]
        machine = self.machine_at(at.number)
        machine.enter_block(
            at.number if number is None else number,
            at.timestamp if timestamp is None else timestamp,
            max(at.gas_limit, gas),
            at.randao,
        )
        return machine.call(sender, to, data, value, gas)

    def machine_at(self, number: int) -> Machine:
        """The state after block `number`. Only read from it."""
        if number >= self.head.number:
            return self._machine
        older = [entry for entry in self._archive if entry[0] <= number]
        nearest = max(older, key=lambda entry: entry[0], default=None)
        if nearest is not None and nearest[0] == number:
            return nearest[1]
        if nearest is not None and len(self._archive) >= _ARCHIVE_MACHINES:
            self._archive.remove(nearest)
            machine = self._replayed(number, nearest[1], nearest[0] + 1)
        else:
            machine = self._replayed(number)
        self._archive = [*self._archive, (number, machine)][-_ARCHIVE_MACHINES:]
        return machine

    def nonce_at(self, sender: str, number: int) -> int:
        """How many transactions `sender` had in the blocks up to `number`."""
        mined = (item for block in self.blocks[: number + 1] for item in block.transactions)
        return sum(1 for item in mined if item.sender == sender)

    # MARK: sealing

    def _seal(self, items: list[Transaction], timestamp: int) -> Block:
        parent = self.blocks[-1].hash if self.blocks else ZERO_HASH
        block = Block(
            len(self.blocks),
            parent,
            timestamp,
            self.next_base_fee,
            self.gas_limit,
            self._fork,
            items,
        )
        outcomes = self._execute(self._machine, block)
        block.gas_used = sum(outcome.gas_used for outcome in outcomes)
        emitted = [(address, topics) for o in outcomes for address, topics, _ in o.logs]
        block.seal(emitted, _trie_receipts(items, outcomes))
        self._record(block, outcomes)
        for index, item in enumerate(items):
            self.nonces[item.sender] = item.nonce + 1
            self.places[item.hash] = (block.number, index)
        self.numbers[block.hash] = block.number
        self.blocks.append(block)
        self.next_base_fee = _following_base_fee(block)
        return block

    def _record(self, block: Block, outcomes: list[Outcome]) -> None:
        """Writes the block's logs and receipts, now that its hash is known."""
        cumulative = 0
        for index, (item, outcome) in enumerate(zip(block.transactions, outcomes)):
            cumulative += outcome.gas_used
            logs = [
                {
                    "address": address,
                    "topics": topics,
                    "data": to_hex(data),
                    "blockNumber": hex(block.number),
                    "blockHash": block.hash,
                    "blockTimestamp": hex(block.timestamp),
                    "transactionHash": item.hash,
                    "transactionIndex": hex(index),
                    "logIndex": hex(len(block.logs) + place),
                    "removed": False,
                }
                for place, (address, topics, data) in enumerate(outcome.logs)
            ]
            block.logs += logs
            block.receipts.append(_receipt(block, index, item, outcome, cumulative, logs))

    def _execute(self, machine: Machine, block: Block) -> list[Outcome]:
        machine.enter_block(block.number, block.timestamp, block.gas_limit, block.randao)
        return [self._execute_one(machine, block, item) for item in block.transactions]

    def _execute_one(self, machine: Machine, block: Block, item: Transaction) -> Outcome:
        outcome = machine.transact(
            item.sender, item.to, item.data, item.value, item.gas, item.nonce
        )
        if item.is_signed:
            cost = outcome.gas_used * item.effective_price(block.base_fee)
            machine.set_balance(item.sender, max(0, machine.balance(item.sender) - cost))
        return outcome

    def _replayed(self, number: int, machine: Machine | None = None, start: int = 0) -> Machine:
        machine = machine or Machine(self.chain_id)
        for block in self.blocks[start : number + 1]:
            self._execute(machine, block)
            for change in block.edits:
                _apply_edit(machine, change)
        return machine

    def _check(self, item: Transaction) -> None:
        """The checks that a node makes before it takes a transaction in, in its words."""
        known, nonce = item.chain_id, self.nonces[item.sender]
        if known not in (None, self.chain_id):
            raise RpcError(
                -32000, f"invalid chain id for signer: have {known} want {self.chain_id}"
            )
        if item.nonce < nonce:
            raise RpcError(-32000, f"nonce too low: next nonce {nonce}, tx nonce {item.nonce}")
        if item.gas < item.intrinsic_gas():
            raise RpcError(
                -32000,
                f"intrinsic gas too low: gas {item.gas}, minimum needed {item.intrinsic_gas()}",
            )
        if item.gas > self.gas_limit:
            raise RpcError(-32000, "exceeds block gas limit")
        if item.max_tip > item.max_fee:
            raise RpcError(-32000, "max priority fee per gas higher than max fee per gas")
        cost = item.gas * item.max_fee + item.value
        if item.is_signed and self._machine.balance(item.sender) < cost:
            raise RpcError(-32000, "insufficient funds for gas * price + value")
        if item.hash in self.places:
            raise RpcError(-32000, "already known")


def _apply_edit(machine: Machine, change: StateEdit) -> None:
    match change.kind:
        case "balance":
            machine.set_balance(change.address, change.value)
        case "code":
            machine.set_code(change.address, change.code)
        case _:
            machine.set_storage(change.address, change.slot, change.value)


def _following_base_fee(block: Block) -> int:
    """EIP-1559: at most one eighth up or down, toward half-full blocks."""
    base, used, target = block.base_fee, block.gas_used, block.gas_limit // 2
    if used > target:
        return base + max(1, base * (used - target) // target // 8)
    return max(1, base - base * (target - used) // target // 8)


def _trie_receipts(items: list[Transaction], outcomes: list[Outcome]) -> list[bytes]:
    """The receipts as the header binds them."""
    encoded, cumulative = [], 0
    for item, outcome in zip(items, outcomes, strict=True):
        cumulative += outcome.gas_used
        bloom = bloom_bits((address, topics) for address, topics, _ in outcome.logs)
        logs = [(address, topics, to_hex(data)) for address, topics, data in outcome.logs]
        encoded.append(receipt_bytes(item.kind, outcome.succeeded, cumulative, bloom, logs))
    return encoded


def _receipt(
    block: Block, index: int, item: Transaction, outcome: Outcome, cumulative: int, logs: list[dict]
) -> dict:
    return {
        "transactionHash": item.hash,
        "transactionIndex": hex(index),
        "blockHash": block.hash,
        "blockNumber": hex(block.number),
        "from": item.sender,
        "to": item.to,
        "cumulativeGasUsed": hex(cumulative),
        "gasUsed": hex(outcome.gas_used),
        "effectiveGasPrice": hex(item.effective_price(block.base_fee)),
        "contractAddress": outcome.created,
        "logs": logs,
        "logsBloom": bloom_text(bloom_bits((entry["address"], entry["topics"]) for entry in logs)),
        "type": hex(item.kind),
        "status": "0x1" if outcome.succeeded else "0x0",
    }
