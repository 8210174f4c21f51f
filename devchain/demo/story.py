"""The demo's chain: four markets, a few hundred borrowers, and what they do as prices fall."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .. import formulas
from .. import signatures as sig
from ..accounts import account
from ..chain import Chain
from ..node import DevNode
from ..truth import full_liquidation, is_healthy
from ..world import MarketInfo, World
from .prices import Round, rounds

START = 1_692_216_000  # 16 August 2023, 20:00 UTC
END = 1_692_316_800  # 18 August 2023, 00:00 UTC
BORROWERS = 320
_ASSETS = {"ETH": "WETH", "BTC": "BTCB"}
_MARKETS = (
    ("USDT", "WETH", 860, 0.35),
    ("USDT", "BTCB", 860, 0.30),
    ("USDC", "WETH", 800, 0.20),
    ("USDC", "BTCB", 800, 0.15),
)


@dataclass(frozen=True, slots=True)
class Borrower:
    """One account with one loan."""

    address: str
    market: MarketInfo


class Story:
    """A seeded cast on a dev chain. `play` moves it on by one price round."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rounds = rounds(START, END)
        self.chain = Chain(genesis_time=START - 3_600)
        self.world = World(self.chain, "moolah")
        self.node = DevNode(self.chain)
        self.prices: dict[str, int] = {}
        self.borrowers: list[Borrower] = []
        self.markets: list[MarketInfo] = []
        self.liquidator = account("liquidator")
        self.lender = account("lender")
        self._set_up()

    # MARK: the beginning

    def _set_up(self) -> None:
        world = self.world
        first = {asset: self._first_price(asset) for asset in _ASSETS}
        world.add_token("WETH", 18, first["ETH"] / 10**8)
        world.add_token("BTCB", 18, first["BTC"] / 10**8)
        world.add_token("USDT", 18, 1)
        world.add_token("USDC", 6, 1)
        self.prices = dict(first)
        world.send(world.owner, world.core, "enableIrm(address)", world.adaptive_irm)
        fee = 5 * 10**16
        world.send(world.owner, world.core, "setDefaultMarketFee(uint256)", fee)
        world.send(world.owner, world.core, "setFeeRecipient(address)", account("fees"))
        for lltv in sorted({thousandth for _, _, thousandth, _ in _MARKETS}):
            world.send(world.owner, world.core, "enableLltv(uint256)", lltv * 10**15)
        for loan, collateral, thousandth, _ in _MARKETS:
            self._create(loan, collateral, thousandth)
        world.fund([self.lender, self.liquidator], world.tokens.values())
        self._open_positions()

    def _first_price(self, asset: str) -> int:
        return next(entry.answer for entry in self.rounds if entry.asset == asset)

    def _create(self, loan: str, collateral: str, thousandth: int) -> None:
        tokens = self.world.tokens
        market = self.world.market_info(
            tokens[loan], tokens[collateral], "adaptive", thousandth * 10**15
        )
        self.world.send(self.world.owner, self.world.core, sig.CREATE_MARKET, market.params)
        self.markets.append(self.world.remember(market))

    def _open_positions(self) -> None:
        """Lends first, so that there is something to borrow, then opens every loan."""
        weights = [weight for *_, weight in _MARKETS]
        for index in range(BORROWERS):
            market = self.rng.choices(self.markets, weights)[0]
            self.borrowers.append(Borrower(account(f"borrower-{index}"), market))
        plans = [(borrower, *self._loan_plan(borrower)) for borrower in self.borrowers]
        for market in self.markets:
            lent = sum(loan for borrower, _, loan in plans if borrower.market == market)
            self.world.send(
                self.lender,
                self.world.core,
                sig.SUPPLY,
                market.params,
                lent * 118 // 100,
                0,
                self.lender,
                b"",
            )
        self.chain.mine()
        for borrower, collateral, loan in plans:
            self._open(borrower, collateral, loan)
        self.world.settle()

    def _loan_plan(self, borrower: Borrower) -> tuple[int, int]:
        """(collateral, loan): most borrow close to what they may, a third stays well away."""
        market = borrower.market
        if self.rng.random() < 0.68:
            used = self.rng.uniform(0.80, 0.985)
        else:
            used = self.rng.uniform(0.35, 0.80)
        dollars = min(2_500_000.0, self.rng.lognormvariate(9.3, 1.3) + 100)
        loan = market.loan.units(dollars)
        price = self.world.price(market)
        needed = loan * 10**18 // market.lltv * 10**36 // price
        return int(needed * 10**6) // int(used * 10**6), loan

    def _open(self, borrower: Borrower, collateral: int, loan: int) -> None:
        world, market, user = self.world, borrower.market, borrower.address
        for token in (market.collateral, market.loan):
            world.send(user, token.address, "mint(address,uint256)", user, 10 * collateral)
            world.send(user, token.address, "approve(address,uint256)", world.core, 2**256 - 1)
        world.send(user, world.core, sig.SUPPLY_COLLATERAL, market.params, collateral, user, b"")
        world.send(user, world.core, sig.BORROW, market.params, loan, 0, user, user)

    # MARK: going on

    def play(self, entry: Round) -> None:
        """A price round in a block of its own, at its real time, among what users do."""
        symbol = _ASSETS[entry.asset]
        self.prices[entry.asset] = entry.answer
        self.world.send(
            self.world.owner,
            self.world.oracle,
            "setPrice(address,uint256)",
            self.world.tokens[symbol].address,
            entry.answer,
        )
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            self._user_acts(self.rng.choice(self.borrowers))
        self._mine_at(entry.updated_at)

    def _user_acts(self, borrower: Borrower) -> None:
        """Someone near the line may save the position; others go on as if nothing happened."""
        world, market, user = self.world, borrower.market, borrower.address
        position = world.position(market, user)
        state = world.accrued_market(market)
        owed = formulas.debt(position, state)
        limit = formulas.max_borrow(position.collateral, world.price(market), market.lltv)
        if owed and limit < owed * 104 // 100:
            if self.rng.random() < 0.5:
                shares = position.borrow_shares * self.rng.randrange(15, 60) // 100
                world.send(user, world.core, sig.REPAY, market.params, 0, shares, user, b"")
            else:
                more = position.collateral * self.rng.randrange(5, 30) // 100
                world.send(user, world.core, sig.SUPPLY_COLLATERAL, market.params, more, user, b"")
        elif limit > owed * 130 // 100:
            loan = (limit - owed) * self.rng.randrange(10, 70) // 100
            world.send(user, world.core, sig.BORROW, market.params, loan, 0, user, user)

    def _mine_at(self, timestamp: int) -> None:
        self.chain.set_next_timestamp(max(timestamp, self.chain.head.timestamp))
        self.chain.mine()

    # MARK: the liquidator

    def liquidate(self, named: list[tuple[str, str]]) -> tuple[int, int]:
        """Liquidates positions given as (market id, user); returns (accepted, tried)."""
        sent = []
        for market_id, user in named:
            market = self.world.markets[market_id]
            position = self.world.position(market, user)
            if position.borrow_shares == 0:
                continue
            state, price = self.world.accrued_market(market), self.world.price(market)
            seized, shares = full_liquidation(market, position, state, price)
            sent.append(
                self.world.send(
                    self.liquidator,
                    self.world.core,
                    sig.LIQUIDATE,
                    market.params,
                    user,
                    seized,
                    shares,
                    b"",
                )
            )
        if not sent:
            return 0, 0
        self._mine_at(self.chain.head.timestamp)
        accepted = sum(self.world.receipt(item)["status"] == "0x1" for item in sent)
        return accepted, len(sent)

    # MARK: the contract's own word

    def contract_verdicts(self, block: int) -> dict[tuple[str, str], bool]:
        """For every position with debt at a block: may it be liquidated, says the contract?"""
        verdicts = {}
        at = self.chain.blocks[block].timestamp
        for market in self.markets:
            state, price = self.world.accrued_market(market, block), self.world.price(market, block)
            for borrower in self.borrowers:
                if borrower.market != market:
                    continue
                position = self.world.position(market, borrower.address, block)
                if position.borrow_shares:
                    healthy = is_healthy(
                        self.world, market, borrower.address, position, state, price, block, at
                    )
                    verdicts[market.id, borrower.address] = not healthy
        return verdicts
