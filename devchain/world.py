"""A lending core with all that belongs to it, deployed on a dev chain: tokens, oracles, rate
models, brokers, Multicall3 and markets; and typed reads of it at any block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import signatures as sig
from .abi import call_data, decode, encode
from .accounts import account
from .blocks import StateEdit
from .chain import Chain
from .compiler import artifact
from .encoding import ZERO_ADDRESS, keccak, to_hex
from .formulas import Market, Position, pair_price
from .reverts import Revert
from .transactions import Transaction
from .vm import Outcome

DOLLAR = 10**8
PLENTY = 10**33


@dataclass(frozen=True, slots=True)
class TokenInfo:
    address: str
    symbol: str
    decimals: int

    def units(self, amount: float) -> int:
        """A human amount in the token's smallest unit."""
        return int(amount * 10**6) * 10**self.decimals // 10**6


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """A market's fixed side. `rate_kind` is adaptive, fixed or none."""

    id: str
    params: tuple[str, str, str, str, int]
    loan: TokenInfo
    collateral: TokenInfo
    rate_kind: str
    broker: str | None = None

    @property
    def oracle(self) -> str:
        return self.params[2]

    @property
    def lltv(self) -> int:
        return self.params[4]


class World:
    """One core of `shape` moolah or morpho, and its surroundings."""

    def __init__(self, chain: Chain, shape: str) -> None:
        if shape not in ("moolah", "morpho"):
            raise ValueError(f"unknown shape {shape!r}")
        self.chain = chain
        self.shape = shape
        self.owner = account("owner")
        self.markets: dict[str, MarketInfo] = {}
        self.tokens: dict[str, TokenInfo] = {}
        self._pair_oracles: dict[tuple[str, str], str] = {}
        chain.automine = False
        self._set_code_of_multicall()
        self.first_block = chain.head.number + 1
        if shape == "moolah":
            self.core = self.deploy("Moolah")
            self.oracle = self.deploy("Oracle")
            self.adaptive_irm = self.deploy("MoolahIrm", "address", self.core)
            self.fixed_irm = self.deploy("FixedRateIrm")
        else:
            self.core = self.deploy("Morpho", "address", self.owner)
            self.oracle = ZERO_ADDRESS
            self.adaptive_irm = self.deploy("MorphoIrm", "address", self.core)
            self.fixed_irm = ZERO_ADDRESS
        self.lens = self.deploy("Lens")
        self.flash_borrower = self.deploy("FlashBorrower")

    @property
    def is_moolah(self) -> bool:
        return self.shape == "moolah"

    # MARK: building

    def _set_code_of_multicall(self) -> None:
        code = artifact("Multicall3").runtime
        self.chain.edit(StateEdit("code", sig.MULTICALL3_ADDRESS, code=code))

    def deploy(self, name: str, types: str = "", *arguments: Any) -> str:
        """Deploys a contract in a block of its own and returns its address."""
        creation = artifact(name).creation + encode(types, arguments)
        item = self.chain.transact(self.owner, None, creation, gas=200_000_000)
        self.chain.mine()
        receipt = self.receipt(item)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"deploying {name} failed")
        return receipt["contractAddress"]

    def add_token(self, symbol: str, decimals: int, dollars: float | None = None) -> TokenInfo:
        """Deploys a token and, on Moolah, gives it a price."""
        address = self.deploy("Token", "string,uint8", symbol, decimals)
        token = TokenInfo(address, symbol, decimals)
        self.tokens[symbol] = token
        if dollars is not None and self.is_moolah:
            self.send(
                self.owner, self.oracle, "setPrice(address,uint256)", address, int(dollars * DOLLAR)
            )
        return token

    def add_pair_oracle(self, collateral: TokenInfo, loan: TokenInfo, price: int) -> str:
        """Deploys a Morpho oracle for the pair."""
        address = self.deploy("PairOracle", "uint256", price)
        self._pair_oracles[collateral.address, loan.address] = address
        return address

    def pair_oracle(self, collateral: TokenInfo, loan: TokenInfo) -> str:
        return self._pair_oracles[collateral.address, loan.address]

    def market_info(
        self, loan: TokenInfo, collateral: TokenInfo, rate_kind: str, lltv: int
    ) -> MarketInfo:
        """The market that these parts make; it need not exist yet."""
        irm = {"adaptive": self.adaptive_irm, "fixed": self.fixed_irm, "none": ZERO_ADDRESS}
        oracle = self.oracle if self.is_moolah else self.pair_oracle(collateral, loan)
        params = (loan.address, collateral.address, oracle, irm[rate_kind], lltv)
        market_id = to_hex(keccak(encode(sig.PARAMS, [params])))
        return MarketInfo(market_id, params, loan, collateral, rate_kind)

    def remember(self, market: MarketInfo) -> MarketInfo:
        self.markets[market.id] = market
        return market

    def fund(self, users: Iterable[str], tokens: Iterable[TokenInfo]) -> None:
        """Mints plenty of every token to every user, with an approval for the core."""
        for user in users:
            for token in tokens:
                self.send(user, token.address, "mint(address,uint256)", user, PLENTY)
                self.send(user, token.address, "approve(address,uint256)", self.core, 2**256 - 1)
        self.settle()

    def settle(self) -> None:
        """Mines until nothing waits."""
        while any(True for _ in self.chain.pool):
            self.chain.mine()

    # MARK: sending

    def send(
        self, sender: str, to: str, signature: str, *arguments: Any, gas: int = 2_000_000
    ) -> Transaction:
        """Puts a call into the pool; it runs in the next mined block."""
        return self.chain.transact(sender, to, call_data(signature, *arguments), gas=gas)

    def receipt(self, item: Transaction) -> dict[str, Any]:
        block, index = self.chain.places[item.hash]
        return self.chain.blocks[block].receipts[index]

    # MARK: reading

    def attempt(
        self,
        to: str,
        signature: str,
        *arguments: Any,
        sender: str = ZERO_ADDRESS,
        block: int | None = None,
        timestamp: int | None = None,
    ) -> Outcome:
        """Runs a call and keeps nothing."""
        data = call_data(signature, *arguments)
        return self.chain.call(to, data, sender=sender, block=block, timestamp=timestamp)

    def read(
        self,
        to: str,
        signature: str,
        returns: str,
        *arguments: Any,
        block: int | None = None,
        timestamp: int | None = None,
    ) -> Any:
        """A call's decoded answer (a single value bare); raises `Revert` when it fails."""
        outcome = self.attempt(to, signature, *arguments, block=block, timestamp=timestamp)
        if not outcome.succeeded:
            raise Revert(outcome.output)
        values = decode(returns, outcome.output)
        return values[0] if len(values) == 1 else values

    def market(self, market: MarketInfo, block: int | None = None) -> Market:
        """The stored words, without interest since the last update."""
        return Market(
            *self.read(self.core, "market(bytes32)", sig.MARKET_WORDS, market.id, block=block)
        )

    def accrued_market(
        self, market: MarketInfo, block: int | None = None, timestamp: int | None = None
    ) -> Market:
        """What `accrueInterest` would make of the market at this block and time."""
        return Market(
            *self.read(
                self.lens,
                f"accruedMarket(address,{sig.PARAMS},bytes32)",
                sig.MARKET_WORDS,
                self.core,
                market.params,
                market.id,
                block=block,
                timestamp=timestamp,
            )
        )

    def position(self, market: MarketInfo, user: str, block: int | None = None) -> Position:
        return Position(
            *self.read(
                self.core,
                "position(bytes32,address)",
                sig.POSITION_WORDS,
                market.id,
                user,
                block=block,
            )
        )

    def price(
        self, market: MarketInfo, block: int | None = None, timestamp: int | None = None
    ) -> int:
        """The collateral's price in loan units, scaled by 1e36, as the core sees it."""
        if self.is_moolah:
            to, signature, arguments = self.core, sig.GET_PRICE, [market.params]
        else:
            to, signature, arguments = market.oracle, "price()", []
        return self.read(to, signature, "uint256", *arguments, block=block, timestamp=timestamp)

    def exists(self, market: MarketInfo, block: int | None = None) -> bool:
        return self.market(market, block).last_update != 0

    def dollar_price(self, token: TokenInfo) -> int:
        """Moolah's `peek` of the token."""
        return self.read(self.oracle, "peek(address)", "uint256", token.address)

    def set_pair_prices(self, dollars: dict[str, int]) -> None:
        """Moves every Morpho pair oracle to the tokens' dollar prices (8 decimals, by symbol)."""
        by_address = {token.address: token for token in self.tokens.values()}
        for (collateral, loan), oracle in self._pair_oracles.items():
            base, quote = by_address[collateral], by_address[loan]
            price = pair_price(
                dollars[base.symbol], dollars[quote.symbol], quote.decimals, base.decimals
            )
            self.send(self.owner, oracle, "setPrice(uint256)", price)
