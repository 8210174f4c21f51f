"""A node with a million distinct Moolah logs, for figures such as "logs a second of a backfill".

    python -m devchain.logserver [--logs 1000000] [--port 0] [--markets 40] [--users 20000]
                                 [--receipts]

Prints one JSON line when everything is in memory: port, core, range, how many logs, and their mean
size. The logs obey the mirror rules (amounts and shares follow the contract's formulas, nothing
goes below zero), headers link up with hashes that can be computed again, and blooms are true.
`eth_getLogs` is served from prepared text; calls answer what a program asks on meeting a market,
and `market` and `position` at the last block only. With `--receipts`, which takes twice as long to
start, full transactions and receipts are served as well, and the headers' roots are true.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import formulas
from . import signatures as sig
from .abi import encode, topic
from .blocks import Block
from .bloom import bloom_bits
from .bulkserver import BulkServer
from .bulktries import ordered_root, receipt_bytes
from .encoding import ZERO_ADDRESS, ZERO_HASH, from_hex, keccak, to_hex
from .endpoint import Endpoint, LogFilter
from .formulas import Market, Position
from .jsonrpc import Buffer, Reply, RpcError, Serialised
from .lifetime import Lifetime
from .recorded.answers import CannotAnswer, ContractTable, Moment, add_view
from .recorded.multicall import Multicall
from .reverts import Revert

_LOGS_PER_BLOCK = 20
_BLOCK_SECONDS = 3
_START_TIME = 1_700_000_000
_CHAIN_ID = 56
_LLTV = 86 * 10**16
_GAS = 150_000
_BASE_FEE = 10**9
_TRANSACTION_KIND = 2
_CALL_DATA = "0x" + "ab" * 132
_TOPICS = {name: topic(signature) for name, signature in sig.EVENTS.items()}
_OPERATIONS = ("Supply", "Withdraw", "SupplyCollateral", "WithdrawCollateral", "Borrow", "Repay")
_WEIGHTS = (22, 10, 14, 5, 30, 19)


@dataclass(frozen=True, slots=True)
class Entry:
    """A log before it has a place; logs of one transaction stand side by side."""

    address: str
    topics: tuple[str, ...]
    data: str
    transaction: int


@dataclass(slots=True)
class Served:
    """A block's prepared header, and where its logs stand in the text of all.

    The rate model's logs all stand before the core's. Each log has a comma after it.
    """

    hash: str
    header: bytes
    start: int
    core: int
    end: int
    transactions: list[Told]


@dataclass(frozen=True, slots=True)
class Told:
    """A transaction of a served block, and where its logs stand in the text of all."""

    hash: str
    bloom: bytes
    start: int
    end: int


class RootedBlock(Block):
    """A block that was told its roots."""

    roots: dict[str, str] = {}

    def header_fields(self) -> dict[str, str]:
        return super().header_fields() | self.roots


class Book:
    """One market and its positions, moved by random operations that obey the formulas."""

    def __init__(self, index: int, rng: random.Random, users: list[str], cast: Cast) -> None:
        self.rng = rng
        self.users = users
        self.cast = cast
        collateral = _address("collateral", index)
        self.params = (cast.loan, collateral, cast.oracle, cast.irm, _LLTV)
        self.id = to_hex(keccak(encode(sig.PARAMS, [self.params])))
        self.market = Market(0, 0, 0, 0, 0, 0)
        self.positions: dict[str, Position] = {}
        self.rate = rng.randrange(10**8, 3 * 10**9)

    def creation(self, timestamp: int) -> Entry:
        self.market = Market(0, 0, 0, 0, timestamp, 10**17)
        data = encode(sig.PARAMS, [self.params]).hex()
        return Entry(self.cast.core, (_TOPICS["CreateMarket"], self.id), data, 0)

    def entries(self, count: int, timestamp: int) -> list[Entry]:
        """About `count` logs at one time: an accrual, then operations."""
        found = self._accrual(timestamp)
        while len(found) < count:
            name = self.rng.choices(_OPERATIONS, _WEIGHTS)[0]
            user = self.rng.choice(self.users)
            entry = getattr(self, f"_{name}")(user, len(found))
            if entry:
                found.append(entry)
        return found

    def rate_update(self) -> Entry:
        data = _words(self.rate, formulas.INITIAL_RATE_AT_TARGET)
        return Entry(self.cast.irm, (_TOPICS["BorrowRateUpdate"], self.id), data, 0)

    def _accrual(self, timestamp: int) -> list[Entry]:
        self.market, interest, shares = formulas.accrued(self.market, self.rate, timestamp)
        self._change(self.cast.fee_recipient, supply_shares=shares)
        data = _words(self.rate, interest, shares)
        topics = (_TOPICS["AccrueInterest"], self.id)
        return [self.rate_update(), Entry(self.cast.core, topics, data, 0)]

    def _change(
        self, user: str, supply_shares: int = 0, borrow_shares: int = 0, collateral: int = 0
    ) -> None:
        old = self.positions.get(user, Position(0, 0, 0))
        self.positions[user] = Position(
            old.supply_shares + supply_shares,
            old.borrow_shares + borrow_shares,
            old.collateral + collateral,
        )

    def _core_entry(self, name: str, topics: tuple[str, ...], data: str, place: int) -> Entry:
        return Entry(self.cast.core, (_TOPICS[name], self.id, *topics), data, place)

    def _Supply(self, user: str, place: int) -> Entry:
        m, assets = self.market, self.rng.randrange(10**18, 10**23)
        shares = formulas.to_shares_down(assets, m.total_supply_assets, m.total_supply_shares)
        self.market = m._replace(
            total_supply_assets=m.total_supply_assets + assets,
            total_supply_shares=m.total_supply_shares + shares,
        )
        self._change(user, supply_shares=shares)
        word = _word_of(user)
        return self._core_entry("Supply", (word, word), _words(assets, shares), place)

    def _Withdraw(self, user: str, place: int) -> Entry | None:
        m, held = self.market, self.positions.get(user, Position(0, 0, 0)).supply_shares
        shares = held // self.rng.randrange(2, 9)
        assets = formulas.to_assets_down(shares, m.total_supply_assets, m.total_supply_shares)
        if shares == 0 or m.total_supply_assets - assets < m.total_borrow_assets:
            return None
        self.market = m._replace(
            total_supply_assets=m.total_supply_assets - assets,
            total_supply_shares=m.total_supply_shares - shares,
        )
        self._change(user, supply_shares=-shares)
        word, data = _word_of(user), _words(int(user, 16), assets, shares)
        return self._core_entry("Withdraw", (word, word), data, place)

    def _SupplyCollateral(self, user: str, place: int) -> Entry:
        assets = self.rng.randrange(10**15, 10**20)
        self._change(user, collateral=assets)
        word = _word_of(user)
        return self._core_entry("SupplyCollateral", (word, word), _words(assets), place)

    def _WithdrawCollateral(self, user: str, place: int) -> Entry | None:
        assets = self.positions.get(user, Position(0, 0, 0)).collateral // self.rng.randrange(2, 9)
        if assets == 0:
            return None
        self._change(user, collateral=-assets)
        word, data = _word_of(user), _words(int(user, 16), assets)
        return self._core_entry("WithdrawCollateral", (word, word), data, place)

    def _Borrow(self, user: str, place: int) -> Entry | None:
        m = self.market
        free = m.total_supply_assets - m.total_borrow_assets
        assets = min(self.rng.randrange(10**17, 2 * 10**22), free)
        if assets == 0:
            return None
        shares = formulas.to_shares_up(assets, m.total_borrow_assets, m.total_borrow_shares)
        self.market = m._replace(
            total_borrow_assets=m.total_borrow_assets + assets,
            total_borrow_shares=m.total_borrow_shares + shares,
        )
        self._change(user, borrow_shares=shares)
        word, data = _word_of(user), _words(int(user, 16), assets, shares)
        return self._core_entry("Borrow", (word, word), data, place)

    def _Repay(self, user: str, place: int) -> Entry | None:
        m, owed = self.market, self.positions.get(user, Position(0, 0, 0)).borrow_shares
        shares = owed // self.rng.randrange(1, 5)
        if shares == 0:
            return None
        assets = formulas.to_assets_up(shares, m.total_borrow_assets, m.total_borrow_shares)
        self.market = m._replace(
            total_borrow_assets=max(0, m.total_borrow_assets - assets),
            total_borrow_shares=m.total_borrow_shares - shares,
        )
        self._change(user, borrow_shares=-shares)
        word = _word_of(user)
        return self._core_entry("Repay", (word, word), _words(assets, shares), place)


@dataclass(frozen=True, slots=True)
class Cast:
    """The addresses that all markets share."""

    core: str
    irm: str
    oracle: str
    loan: str
    fee_recipient: str


class LogServer(Endpoint):
    """The prepared chain as a node."""

    def __init__(
        self, logs: int, markets: int, users: int, seed: int, *, has_receipts: bool = False
    ) -> None:
        super().__init__(_CHAIN_ID)
        self.has_receipts = has_receipts
        rng = random.Random(seed)
        self.cast = Cast(*(_address(name, 0) for name in ("core", "irm", "oracle", "loan", "fees")))
        self.sender = _address("sender", 0)
        names = [_address("user", index) for index in range(users)]
        self.books = [Book(index, rng, names, self.cast) for index in range(markets)]
        self.blocks: list[Served] = []
        self.text = bytearray()
        self.numbers: dict[str, int] = {}
        self.named: dict[str, int] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self.log_count = 0
        self._fill(logs, rng)
        self.view = memoryview(self.text)
        self.table = ContractTable()
        self.multicall = Multicall(
            self.table, self.chain_id, lambda number: self.blocks[number].hash
        )
        self._describe_contracts()
        self.methods |= {"eth_call": self.eth_call}
        if not has_receipts:
            del self.methods["eth_getBlockReceipts"], self.methods["eth_getTransactionReceipt"]

    # MARK: filling

    def _fill(self, logs: int, rng: random.Random) -> None:
        self._seal([], _START_TIME)
        self._seal(list(self._beginnings()), _START_TIME + _BLOCK_SECONDS)
        updates = [book.rate_update() for book in self.books]
        self._seal(updates, _START_TIME + 2 * _BLOCK_SECONDS)
        while self.log_count < logs:
            timestamp = _START_TIME + len(self.blocks) * _BLOCK_SECONDS
            self._seal(rng.choice(self.books).entries(_LOGS_PER_BLOCK, timestamp), timestamp)

    def _beginnings(self) -> Iterator[Entry]:
        recipient = _word_of(self.cast.fee_recipient)
        yield Entry(self.cast.core, (_TOPICS["SetDefaultMarketFee"],), _words(10**17), 0)
        yield Entry(self.cast.core, (_TOPICS["SetFeeRecipient"], recipient), "", 0)
        for book in self.books:
            yield book.creation(_START_TIME + _BLOCK_SECONDS)

    def _seal(self, entries: list[Entry], timestamp: int) -> None:
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else ZERO_HASH
        transactions: dict[str, list[Entry]] = {}
        for entry in entries:
            seed = b"%d/%d" % (number, entry.transaction)
            transactions.setdefault(f"0x{hashlib.sha256(seed).hexdigest()}", []).append(entry)
        block = RootedBlock(number, parent, timestamp, _BASE_FEE, _BASE_FEE, 0)
        block.gas_used = _GAS * len(transactions)
        blooms = _blooms(transactions) if self.has_receipts else []
        if blooms:
            block.roots = _roots(transactions, blooms)
        block.seal([(entry.address, list(entry.topics)) for entry in entries], [])
        start = core = len(self.text)
        log = 0
        told = []
        for index, (name, group) in enumerate(transactions.items()):
            before = len(self.text)
            for entry in group:
                is_in_order = entry.address != self.cast.irm or core == len(self.text)
                assert is_in_order, "the rate model's logs stand first"
                self.text += _line(entry, block, name, index, log).encode()
                log += 1
                if entry.address == self.cast.irm:
                    core = len(self.text)
            if blooms:
                told.append(Told(name, blooms[index], before, len(self.text)))
                self.places[name] = (number, index)
        self.log_count += len(entries)
        header = block.as_json(False) | {"transactions": list(transactions)}
        text = json.dumps(header, separators=(",", ":")).encode()
        self.numbers[block.hash] = number
        self.named[hex(number)] = number
        self.blocks.append(Served(block.hash, text, start, core, len(self.text), told))

    # MARK: serving

    def handle_in_pieces(self, body: bytes) -> Reply:
        """As `handle`, without joining long texts."""
        try:
            request = json.loads(body)
        except ValueError:
            return self.handle(body)
        if self.plan.waiting or not request or not isinstance(request, (dict, list)):
            return self.handle(body)
        self.active = []
        self.counts["requests"] += 1
        self.counts["bytes_in"] += len(body)
        if isinstance(request, dict):
            pieces = self.answer_parts(request)
        else:
            pieces = [b"["]
            for entry in request:
                pieces += self._header_parts(entry) or self.answer_parts(entry)
                pieces.append(b",")
            pieces[-1] = b"]"
        self.counts["bytes_out"] += sum(map(len, pieces))
        return Reply(200, b"", rest=pieces)

    def _header_parts(self, entry: Any) -> list[Buffer] | None:
        """The short way to what batches ask for most: a header by its number."""
        match entry:
            case {"method": "eth_getBlockByNumber", "id": int(name), "params": [str(tag), False]}:
                number = self.named.get(tag, -1)
                if number >= 0:
                    self.counts["eth_getBlockByNumber"] += 1
                    head = b'{"jsonrpc":"2.0","id":%d,"result":' % name
                    return [head, self.blocks[number].header, b"}"]
        return None

    def head_number(self) -> int:
        return len(self.blocks) - 1

    def number_of_hash(self, block_hash: str) -> int | None:
        return self.numbers.get(block_hash)

    def block_by_number(self, tag: Any, full: bool = False) -> Any:
        number = self.resolve(tag)
        return self._block(number, full) if 0 <= number <= self.head_number() else None

    def block_by_hash(self, block_hash: str, full: bool = False) -> Any:
        number = self.numbers.get(block_hash.lower())
        return None if number is None else self._block(number, full)

    def _block(self, number: int, full: bool) -> Serialised:
        block = self.blocks[number]
        if not full:
            return Serialised([block.header])
        if not self.has_receipts:
            raise RpcError(-32000, "only hashes of transactions are kept here")
        head, name, _ = block.header.partition(b'"transactions":')
        items = [self._transaction(number, index) for index in range(len(block.transactions))]
        return Serialised([head, name, b"[", ",".join(items).encode(), b"]}"])

    def _transaction(self, number: int, index: int) -> str:
        block = self.blocks[number]
        told = block.transactions[index]
        return (
            f'{{"hash":"{told.hash}","type":"{_TRANSACTION_KIND:#x}","from":"{self.sender}",'
            f'"nonce":"{number:#x}","to":"{self.cast.core}","value":"0x0","input":"{_CALL_DATA}",'
            f'"gas":"{_GAS:#x}","gasPrice":"{_BASE_FEE:#x}","maxFeePerGas":"{_BASE_FEE:#x}",'
            f'"maxPriorityFeePerGas":"0x0","chainId":"{self.chain_id:#x}","v":"0x0","r":"0x0",'
            f'"s":"0x0","blockHash":"{block.hash}","blockNumber":"{number:#x}",'
            f'"transactionIndex":"{index:#x}"}}'
        )

    def receipts(self, number: int) -> list[dict[str, Any]]:
        places = range(len(self.blocks[number].transactions))
        return [json.loads(b"".join(self._receipt(number, index))) for index in places]

    def place_of(self, transaction_hash: str) -> tuple[int, int] | None:
        return self.places.get(transaction_hash)

    def transaction_receipt(self, transaction_hash: str) -> Any:
        place = self.places.get(transaction_hash.lower())
        if self.active or place is None:
            return super().transaction_receipt(transaction_hash)
        return Serialised(self._receipt(*place))

    def _receipt(self, number: int, index: int) -> list[Buffer]:
        block = self.blocks[number]
        told = block.transactions[index]
        head = (
            f'{{"transactionHash":"{told.hash}","transactionIndex":"{index:#x}",'
            f'"blockHash":"{block.hash}","blockNumber":"{number:#x}","from":"{self.sender}",'
            f'"to":"{self.cast.core}","cumulativeGasUsed":"{_GAS * (index + 1):#x}",'
            f'"gasUsed":"{_GAS:#x}","effectiveGasPrice":"{_BASE_FEE:#x}","contractAddress":null,'
            f'"logsBloom":"0x{told.bloom.hex()}","type":"{_TRANSACTION_KIND:#x}","status":"0x1",'
            '"logs":['
        )
        return [head.encode(), self.view[told.start : told.end - 1], b"]}"]

    def get_logs(self, wanted: dict[str, Any]) -> Serialised:
        if wanted.get("blockHash"):
            wanted = dict.fromkeys(("fromBlock", "toBlock"), hex(self.resolve(wanted))) | wanted
        first, last = self.resolve(wanted.get("fromBlock")), self.resolve(wanted.get("toBlock"))
        if first > last:
            raise RpcError(-32000, "invalid block range params")
        if refused := self.limits.refusal_of_range(first, last):
            raise RpcError(*refused)
        conditions = LogFilter.parse(wanted)
        blocks = self.blocks[first : last + 1]
        if any(entry is not None for entry in conditions.topics[1:]) or not self._wants_all(
            conditions
        ):
            return self._filtered(blocks, conditions)
        return self._joined(blocks, conditions)

    def _wants_all(self, conditions: LogFilter) -> bool:
        """Whether the first topic excludes nothing that is here."""
        if not conditions.topics or conditions.topics[0] is None:
            return True
        return conditions.topics[0] >= _PRESENT_TOPICS

    def _joined(self, blocks: list[Served], conditions: LogFilter) -> Serialised:
        """All logs of the addresses: of both, they are one piece of the text."""
        addresses = conditions.addresses
        has_irm = addresses is None or self.cast.irm in addresses
        has_core = addresses is None or self.cast.core in addresses
        if not blocks or not (has_irm or has_core):
            return Serialised([b"[]"])
        if has_irm and has_core:
            parts = [self.view[blocks[0].start : blocks[-1].end]]
        elif has_core:
            parts = [self.view[block.core : block.end] for block in blocks]
        else:
            parts = [self.view[block.start : block.core] for block in blocks]
        parts = [part for part in parts if part]
        return Serialised([b"[", *parts[:-1], parts[-1][:-1], b"]"] if parts else [b"[]"])

    def _filtered(self, blocks: list[Served], conditions: LogFilter) -> Serialised:
        """The slow way, for filters that take some logs of a block and leave others."""
        found = [
            entry
            for block in blocks
            for entry in self._logs(block)
            if conditions.admits(entry["address"], entry["topics"])
        ]
        return Serialised([json.dumps(found, separators=(",", ":")).encode()])

    def _logs(self, block: Served) -> list[dict[str, Any]]:
        return json.loads(b"[" + bytes(self.view[block.start : block.end])[:-1] + b"]")

    # MARK: calls

    def eth_call(self, request: dict[str, Any], tag: Any = "latest", *_: Any) -> str:
        number = self.resolve_known(tag)
        moment = Moment(number, _START_TIME + number * _BLOCK_SECONDS, number)
        data = from_hex(request.get("input") or request.get("data") or "0x")
        try:
            return to_hex(self.table.call(request["to"].lower(), data, moment))
        except Revert as revert:
            raise RpcError(3, f"execution reverted: {revert}", to_hex(revert.data)) from revert
        except CannotAnswer as error:
            raise RpcError(-32000, str(error)) from error

    def _describe_contracts(self) -> None:
        cast, books = self.cast, {book.id: book for book in self.books}

        def at_the_end(moment: Moment) -> None:
            if moment.block != self.head_number():
                raise CannotAnswer("state is known at the last block only")

        def market(moment: Moment, market_id: str) -> Market:
            at_the_end(moment)
            return books[market_id].market

        def position(moment: Moment, market_id: str, user: str) -> Position:
            at_the_end(moment)
            return books[market_id].positions.get(user, Position(0, 0, 0))

        core = self.table.contract(cast.core, "Moolah")
        add_view(core, "market(bytes32)", sig.MARKET_WORDS, market)
        add_view(
            core, "idToMarketParams(bytes32)", sig.PARAMS, lambda _, market: books[market].params
        )
        add_view(core, "position(bytes32,address)", sig.POSITION_WORDS, position)
        add_view(core, "brokers(bytes32)", "address", lambda *_: ZERO_ADDRESS)
        add_view(core, "feeRecipient()", "address", lambda *_: cast.fee_recipient)
        add_view(core, "defaultMarketFee()", "uint256", lambda *_: 10**17)
        add_view(core, "minLoanValue()", "uint256", lambda *_: 15 * 10**8)
        add_view(core, "paused()", "bool", lambda *_: False)
        add_view(core, "isLiquidationWhitelist(bytes32,address)", "bool", lambda *_: True)
        add_view(core, sig.GET_PRICE, "uint256", lambda *_: 2_000 * 10**36)
        irm = self.table.contract(cast.irm, "Irm", closed=True)
        for signature in ("rateCap(bytes32)", "rateFloor(bytes32)", "minCap()"):
            add_view(irm, signature, "uint256", lambda *_: 0)
        start = formulas.INITIAL_RATE_AT_TARGET
        add_view(irm, "rateAtTarget(bytes32)", "int256", lambda *_: start)
        add_view(irm, sig.BORROW_RATE_VIEW, "uint256", lambda *_: start)
        oracle = self.table.contract(cast.oracle, "Oracle", closed=True)
        add_view(
            oracle,
            "peek(address)",
            "uint256",
            lambda _, token: 10**8 if token == cast.loan else 2_000 * 10**8,
        )
        tokens = {cast.loan} | {book.params[1] for book in self.books}
        for address in sorted(tokens):
            token = self.table.contract(address, "Token", closed=True)
            add_view(token, "decimals()", "uint8", lambda *_: 18)
            add_view(token, "symbol()", "string", lambda *_, a=address: f"T{a[2:6]}")


_PRESENT_TOPICS = frozenset(
    _TOPICS[name]
    for name in (
        *_OPERATIONS,
        "CreateMarket",
        "AccrueInterest",
        "BorrowRateUpdate",
        "SetDefaultMarketFee",
        "SetFeeRecipient",
    )
)


def _blooms(transactions: dict[str, list[Entry]]) -> list[bytes]:
    return [
        bloom_bits((entry.address, list(entry.topics)) for entry in group).to_bytes(256, "big")
        for group in transactions.values()
    ]


def _roots(transactions: dict[str, list[Entry]], blooms: list[bytes]) -> dict[str, str]:
    """The roots that bind transactions, by their hashes as in `Block`, and receipts."""
    receipts = [
        receipt_bytes(
            _TRANSACTION_KIND,
            _GAS * (index + 1),
            blooms[index],
            [(entry.address, entry.topics, entry.data) for entry in group],
        )
        for index, group in enumerate(transactions.values())
    ]
    return {
        "transactionsRoot": ordered_root([from_hex(name) for name in transactions]),
        "receiptsRoot": ordered_root(receipts),
    }


def _line(entry: Entry, block: Block, transaction: str, index: int, log: int) -> str:
    topics = '","'.join(entry.topics)
    return (
        f'{{"address":"{entry.address}","topics":["{topics}"],"data":"0x{entry.data}",'
        f'"blockNumber":"{block.number:#x}","transactionHash":"{transaction}",'
        f'"transactionIndex":"{index:#x}","blockHash":"{block.hash}",'
        f'"blockTimestamp":"{block.timestamp:#x}","logIndex":"{log:#x}","removed":false}},'
    )


def _address(name: str, index: int) -> str:
    return to_hex(keccak(b"logserver %s %d" % (name.encode(), index))[12:])


def _word_of(address: str) -> str:
    return f"0x{address[2:]:0>64}"


def _words(*values: int) -> str:
    return "".join(f"{value:064x}" for value in values)


async def serve(server: LogServer, port: int) -> None:
    """Serves until the parent ends."""
    lifetime = Lifetime()
    bulk = BulkServer(server.handle_in_pieces, port)
    introduction = {
        "rpc": f"http://127.0.0.1:{bulk.port}",
        "chain_id": server.chain_id,
        "core": server.cast.core,
        "first_block": 1,
        "last": server.head_number(),
        "logs": server.log_count,
        "bytes_per_log": round(len(server.text) / server.log_count),
        "markets": len(server.books),
    }
    print(json.dumps(introduction), flush=True)
    await lifetime.until_over()


def main() -> None:
    parser = argparse.ArgumentParser(prog="devchain.logserver", description=__doc__.split("\n")[0])
    parser.add_argument("--logs", type=int, default=1_000_000)
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--receipts", action="store_true", help="serve transactions and receipts")
    options = parser.parse_args()
    server = LogServer(
        options.logs,
        options.markets,
        options.users,
        options.seed,
        has_receipts=options.receipts,
    )
    asyncio.run(serve(server, options.port))


if __name__ == "__main__":
    main()
