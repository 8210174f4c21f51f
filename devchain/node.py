"""The dev node: the dev chain over JSON-RPC.

    python -m devchain.node [--port 0] [--chain-id 31337] [--block-time SECONDS] [--fund ADDRESS]

Prints one JSON line with the port, then serves until its parent ends, its standard input (when
a pipe) ends, or SIGTERM comes. Beside the `eth_` methods it has:

    evm_mine [count]                      evm_increaseTime [seconds]
    evm_setNextBlockTimestamp [time]      evm_setAutomine [on]
    evm_snapshot, evm_revert [id]         back to an earlier block and time, without a new branch
    anvil_setBalance, anvil_setCode, anvil_setStorageAt, anvil_setNextBlockBaseFeePerGas
    dev_reorg {depth, keep, blocks, delay}     see `Chain.reorg`
    dev_fault {…}, dev_limits {range, logs, style}, dev_stats {reset}      see `faults.py`
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterable
from typing import Any

from .blocks import StateEdit, transaction_fields
from .chain import CALL_GAS, Chain
from .encoding import ZERO_ADDRESS, from_hex, parse_quantity, to_hex
from .endpoint import Endpoint, LogFilter
from .httpserver import listen, port_of
from .jsonrpc import RpcError
from .lifetime import Lifetime
from .reverts import revert_text
from .transactions import decode_raw, unlocked

_SUGGESTED_TIP = 10**9


class DevNode(Endpoint):
    """JSON-RPC over one `Chain`."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain.chain_id)
        self.chain = chain
        self._marks: list[tuple[int, int]] = []
        self.methods |= {
            "eth_call": self.eth_call,
            "eth_estimateGas": self.estimate_gas,
            "eth_sendRawTransaction": lambda raw: chain.send(decode_raw(from_hex(raw))),
            "eth_sendTransaction": self.send_unlocked,
            "eth_getTransactionByHash": self.transaction,
            "eth_getTransactionCount": self.transaction_count,
            "eth_gasPrice": lambda: hex(chain.next_base_fee + _SUGGESTED_TIP),
            "eth_maxPriorityFeePerGas": lambda: hex(_SUGGESTED_TIP),
            "eth_feeHistory": self.fee_history,
            "eth_getBalance": self.balance,
            "eth_getCode": self.code,
            "eth_getStorageAt": self.storage,
            "evm_mine": self.mine,
            "evm_increaseTime": lambda seconds: chain.increase_time(parse_quantity(seconds)),
            "evm_setNextBlockTimestamp": lambda at: chain.set_next_timestamp(parse_quantity(at)),
            "evm_setAutomine": self.set_automine,
            "evm_snapshot": self.snapshot,
            "evm_revert": self.revert,
            "anvil_setBalance": lambda a, v: self._edit("balance", a, value=parse_quantity(v)),
            "anvil_setCode": lambda a, code: self._edit("code", a, code=from_hex(code)),
            "anvil_setStorageAt": lambda a, slot, v: self._edit(
                "storage", a, value=parse_quantity(v), slot=parse_quantity(slot)
            ),
            "anvil_setNextBlockBaseFeePerGas": self.set_base_fee,
            "dev_reorg": self.reorg,
        }

    # MARK: the chain, as `Endpoint` asks for it

    def head_number(self) -> int:
        return self.chain.head.number

    def number_of_hash(self, block_hash: str) -> int | None:
        return self.chain.numbers.get(block_hash)

    def header(self, number: int, full_transactions: bool) -> dict[str, Any]:
        return self.chain.blocks[number].as_json(full_transactions)

    def receipts(self, number: int) -> list[dict[str, Any]]:
        return self.chain.blocks[number].receipts

    def place_of(self, transaction_hash: str) -> tuple[int, int] | None:
        return self.chain.places.get(transaction_hash)

    def logs_between(self, first: int, last: int, wanted: LogFilter) -> Iterable[dict[str, Any]]:
        return (
            entry
            for block in self.chain.blocks[first : last + 1]
            for entry in block.logs
            if wanted.admits(entry["address"], entry["topics"])
        )

    # MARK: calls

    def eth_call(
        self, request: dict[str, Any], tag: Any = "latest", state: Any = None, block: Any = None
    ) -> str:
        if state:
            raise RpcError(-32602, "state overrides are not supported")
        outcome = self._run(request, tag, block or {})
        if outcome.succeeded:
            return to_hex(outcome.output)
        raise _call_error(outcome)

    def _run(self, request: dict[str, Any], tag: Any, overrides: dict[str, Any], gas: int = 0):
        time, number = overrides.get("time"), overrides.get("number")
        to = request.get("to")
        return self.chain.call(
            to.lower() if to else None,
            _input_of(request),
            sender=(request.get("from") or ZERO_ADDRESS).lower(),
            value=parse_quantity(request.get("value", 0)),
            gas=gas or parse_quantity(request.get("gas", CALL_GAS)),
            block=self.resolve_known(tag),
            timestamp=None if time is None else parse_quantity(time),
            number=None if number is None else parse_quantity(number),
        )

    def estimate_gas(self, request: dict[str, Any], tag: Any = "latest") -> str:
        """The least gas that succeeds, by halving, as geth does (63/64 rule included)."""
        high = parse_quantity(request.get("gas", self.chain.gas_limit))
        first = self._run(request, tag, {}, high)
        if not first.succeeded:
            raise _call_error(first)
        low = first.gas_used - 1
        while low + 1 < high:
            middle = (low + high) // 2
            if self._run(request, tag, {}, middle).succeeded:
                high = middle
            else:
                low = middle
        return hex(high)

    # MARK: transactions

    def send_unlocked(self, request: dict[str, Any]) -> str:
        chain, sender = self.chain, request["from"].lower()
        nonce = request.get("nonce")
        fee = request.get("maxFeePerGas", request.get("gasPrice", 2 * chain.next_base_fee + 10**9))
        tip = request.get("maxPriorityFeePerGas", request.get("gasPrice", _SUGGESTED_TIP))
        pending = chain.pool.pending_nonce(sender, chain.nonces[sender])
        to = request.get("to")
        return chain.send(
            unlocked(
                sender,
                pending if nonce is None else parse_quantity(nonce),
                to.lower() if to else None,
                _input_of(request),
                chain_id=chain.chain_id,
                value=parse_quantity(request.get("value", 0)),
                gas=parse_quantity(request.get("gas", 30_000_000)),
                max_fee=parse_quantity(fee),
                max_tip=min(parse_quantity(fee), parse_quantity(tip)),
                salt=chain.head.fork,
            )
        )

    def transaction(self, transaction_hash: str) -> dict[str, Any] | None:
        place = self.chain.places.get(transaction_hash.lower())
        if place:
            return self.chain.blocks[place[0]].transaction_json(place[1])
        waiting = (item for item in self.chain.pool if item.hash == transaction_hash.lower())
        return next((transaction_fields(item) for item in waiting), None)

    def transaction_count(self, address: str, tag: Any = "latest") -> str:
        chain, sender = self.chain, address.lower()
        if tag == "pending":
            return hex(chain.pool.pending_nonce(sender, chain.nonces[sender]))
        if tag in ("latest", None):
            return hex(chain.nonces[sender])
        return hex(chain.nonce_at(sender, self.resolve_known(tag)))

    # MARK: fees

    def fee_history(
        self, count: str | int, newest: Any, percentiles: list[float] | None = None
    ) -> dict[str, Any]:
        chain, last = self.chain, self.resolve_known(newest)
        first = max(0, last - parse_quantity(count) + 1)
        blocks = chain.blocks[first : last + 1]
        later = chain.blocks[last + 1 : last + 2]
        following = later[0].base_fee if later else chain.next_base_fee
        history: dict[str, Any] = {
            "oldestBlock": hex(first),
            "baseFeePerGas": [hex(block.base_fee) for block in blocks] + [hex(following)],
            "gasUsedRatio": [block.gas_used / block.gas_limit for block in blocks],
        }
        if percentiles:
            history["reward"] = [_tips(block, percentiles) for block in blocks]
        return history

    def set_base_fee(self, value: str | int) -> None:
        self.chain.next_base_fee = parse_quantity(value)

    # MARK: state

    def balance(self, address: str, tag: Any = "latest") -> str:
        return hex(self.chain.machine_at(self.resolve_known(tag)).balance(address.lower()))

    def code(self, address: str, tag: Any = "latest") -> str:
        return to_hex(self.chain.machine_at(self.resolve_known(tag)).code(address.lower()))

    def storage(self, address: str, slot: str | int, tag: Any = "latest") -> str:
        machine = self.chain.machine_at(self.resolve_known(tag))
        return f"0x{machine.storage(address.lower(), parse_quantity(slot)):064x}"

    # MARK: development

    def mine(self, count: str | int | dict = 1) -> str:
        number = 1 if isinstance(count, dict) else parse_quantity(count)
        self.chain.mine(number)
        return "0x0"

    def set_automine(self, on: bool) -> None:
        self.chain.automine = bool(on)

    def snapshot(self) -> str:
        self._marks.append(self.chain.mark())
        return hex(len(self._marks))

    def revert(self, identifier: str | int) -> bool:
        """Goes back to a snapshot; it and all later ones are used up."""
        index = parse_quantity(identifier) - 1
        if not 0 <= index < len(self._marks):
            return False
        self.chain.return_to(self._marks[index])
        del self._marks[index:]
        return True

    def reorg(self, wanted: dict[str, Any] | int, keep: bool = True) -> dict[str, Any]:
        options = wanted if isinstance(wanted, dict) else {"depth": wanted, "keep": keep}
        done = self.chain.reorg(**options)
        return {
            "first_block": done.first_block,
            "dropped": [item.hash for item in done.dropped],
            "head": self.chain.head.number,
            "hash": self.chain.head.hash,
        }

    def _edit(self, kind: str, address: str, **change: Any) -> bool:
        self.chain.edit(StateEdit(kind, address.lower(), **change))
        return True


def _input_of(request: dict[str, Any]) -> bytes:
    return from_hex(request.get("input") or request.get("data") or "0x")


def _call_error(outcome) -> RpcError:
    if outcome.halt:
        text = "out of gas" if "OutOfGas" in outcome.halt else outcome.halt[:120]
        return RpcError(-32000, text)
    text = revert_text(outcome.output)
    message = "execution reverted" + (f": {text}" if text else "")
    return RpcError(3, message, to_hex(outcome.output))


def _tips(block, percentiles: list[float]) -> list[str]:
    """The tips at percentiles of the gas used, cheapest transaction first."""
    tips = sorted(
        (item.effective_price(block.base_fee) - block.base_fee, int(receipt["gasUsed"], 16))
        for item, receipt in zip(block.transactions, block.receipts)
    )
    row = []
    for percentile in percentiles:
        needed, reached, paid = block.gas_used * percentile / 100, 0, 0
        for tip, gas in tips:
            reached, paid = reached + gas, tip
            if reached >= needed:
                break
        row.append(hex(paid))
    return row


async def serve(node: DevNode, port: int, block_seconds: float) -> None:
    """Serves until the parent ends; with `block_seconds` it also mines by the clock."""
    lifetime = Lifetime()
    server = await listen(node.handle, port)
    print(json.dumps({"listening": port_of(server), "chain_id": node.chain_id}), flush=True)
    miner = asyncio.create_task(_mine_regularly(node, block_seconds)) if block_seconds else None
    await lifetime.until_over()
    if miner:
        miner.cancel()
    server.close()


async def _mine_regularly(node: DevNode, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        node.chain.mine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="devchain.node", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8545, help="0 picks a free one")
    parser.add_argument("--chain-id", type=int, default=31337)
    parser.add_argument("--block-time", type=float, default=0, help="mine by the clock")
    parser.add_argument("--fund", action="append", default=[], metavar="ADDRESS")
    options = parser.parse_args()
    chain = Chain(options.chain_id, automine=not options.block_time)
    for address in options.fund:
        chain.edit(StateEdit("balance", address.lower(), 10**24))
    asyncio.run(serve(DevNode(chain), options.port, options.block_time))


if __name__ == "__main__":
    main()
