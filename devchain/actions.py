"""What can happen on the scenario's chain: one method an action, each sending transactions.

An action looks at the chain as it stands, picks something that should succeed, and returns
whether it found anything to do. `events` names what its success would log, so that a scenario
can prefer actions whose events are still missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import formulas
from . import signatures as sig
from .accounts import account, signed_authorization
from .encoding import ZERO_ADDRESS
from .formulas import WAD, Position
from .reverts import Revert
from .truth import full_liquidation, is_healthy
from .world import DOLLAR, MarketInfo, TokenInfo, World

LLTVS = tuple(thousandth * 10**15 for thousandth in (700, 750, 800, 860, 915, 945, 965))
_SPARE_LLTVS = tuple(thousandth * 10**15 for thousandth in (330, 500, 600, 650, 850, 865, 900))
_LISTS = (
    ("getLiquidationWhitelist(bytes32)", "removeLiquidationWhitelist(bytes32,address)"),
    ("getWhiteList(bytes32)", "removeWhiteList(bytes32,address)"),
)
USER_COUNT = 16


@dataclass(frozen=True, slots=True)
class Action:
    """A method of `Actions` with its weight and the events that its success logs."""

    name: str
    weight: int
    events: tuple[str, ...]
    shapes: tuple[str, ...]


ACTIONS: list[Action] = []


def action(
    weight: int, *events: str, shapes: tuple[str, ...] = ("moolah", "morpho")
) -> Callable[[Callable[[Actions], bool]], Callable[[Actions], bool]]:
    """Registers a method as something that can happen."""

    def register(method: Callable[[Actions], bool]) -> Callable[[Actions], bool]:
        ACTIONS.append(Action(method.__name__, weight, events, shapes))
        return method

    return register


class Actions:
    """The cast and what it may do. `now` is the time of the block being filled."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.now = world.chain.head.timestamp
        self.user_names = [f"user-{index}" for index in range(USER_COUNT)]
        self.users = [account(name) for name in self.user_names]
        self.lenders = [account(f"lender-{index}") for index in range(3)]
        self.fee_recipients = [account(f"fees-{index}") for index in range(3)]
        self.liquidator = account("liquidator")
        self.brokered: MarketInfo | None = None
        self.broker = ZERO_ADDRESS
        self.start_prices: dict[str, int] = {}
        self.dollars: dict[str, int] = {}

    @property
    def everyone(self) -> list[str]:
        """Every account that can own a position."""
        owners = [*self.users, *self.lenders, *self.fee_recipients, self.liquidator, self.broker]
        # Fees go to the zero address while no recipient is set.
        return list(dict.fromkeys([*owners, ZERO_ADDRESS]))

    # MARK: choosing

    def _market(self) -> MarketInfo | None:
        markets = [market for market in self._live_markets() if market != self.brokered]
        return self.rng.choice(markets) if markets else None

    def _live_markets(self) -> list[MarketInfo]:
        return [m for m in self.world.markets.values() if self.world.exists(m)]

    def _pick(
        self, owners: list[str], admits: Callable[[Position], bool]
    ) -> tuple[MarketInfo, str, Position] | None:
        """A random position that qualifies, outside the broker's market."""
        candidates = [
            (market, owner, position)
            for market in self._live_markets()
            if market != self.brokered
            for owner in owners
            if admits(position := self.world.position(market, owner))
        ]
        return self.rng.choice(candidates) if candidates else None

    def _amount(self, token: TokenInfo, low: float, high: float) -> int:
        """A human-sized amount worth between `low` and `high` dollars, with ragged digits."""
        dollars = low * (high / low) ** self.rng.random()
        price = self.dollars[token.symbol] or self.start_prices[token.symbol]
        return max(1, int(dollars * 10**6) * DOLLAR * 10**token.decimals // price // 10**6)

    def _fraction(self, whole: int, least: float = 0.01, most: float = 1.0) -> int:
        parts = int(self.rng.uniform(least, most) * 10**9)
        return max(1, whole * parts // 10**9)

    def _price(self, market: MarketInfo) -> int | None:
        try:
            return self.world.price(market)
        except Revert:
            return None

    def _send(self, sender: str, signature: str, *arguments: object) -> bool:
        self.world.send(sender, self.world.core, signature, *arguments)
        return True

    # MARK: lending

    @action(30, "Supply", "AccrueInterest", "BorrowRateUpdate")
    def supply(self) -> bool:
        market = self._market()
        if market is None:
            return False
        lender = self.rng.choice(self.lenders + self.users)
        owner = self.rng.choice(self.users) if self.rng.random() < 0.2 else lender
        assets = self._amount(market.loan, 20_000, 3_000_000)
        if self.rng.random() < 0.2:
            state = self.world.market(market)
            shares = formulas.to_shares_down(
                assets, state.total_supply_assets, state.total_supply_shares
            )
            return self._send(lender, sig.SUPPLY, market.params, 0, shares, owner, b"")
        return self._send(lender, sig.SUPPLY, market.params, assets, 0, owner, b"")

    @action(14, "Withdraw")
    def withdraw(self) -> bool:
        owners = self.lenders + self.users + self.fee_recipients
        picked = self._pick(owners, lambda position: position.supply_shares > 0)
        if picked is None:
            return False
        market, owner, position = picked
        state = self.world.accrued_market(market, timestamp=self.now)
        free = state.total_supply_assets - state.total_borrow_assets
        owned = formulas.to_assets_down(
            position.supply_shares, state.total_supply_assets, state.total_supply_shares
        )
        assets = self._fraction(min(free, owned), most=0.4)
        if not 0 < assets <= free:
            return False
        receiver = self.rng.choice([owner, *self.users])
        if owned <= free and self.rng.random() < 0.25:
            shares = self._fraction(position.supply_shares, 0.5)
            return self._send(owner, sig.WITHDRAW, market.params, 0, shares, owner, receiver)
        return self._send(owner, sig.WITHDRAW, market.params, assets, 0, owner, receiver)

    # MARK: borrowing

    @action(28, "SupplyCollateral")
    def supply_collateral(self) -> bool:
        market = self._market()
        if market is None:
            return False
        user = self.rng.choice(self.users)
        payer = self.rng.choice(self.users) if self.rng.random() < 0.1 else user
        assets = self._amount(market.collateral, 300, 400_000)
        return self._send(payer, sig.SUPPLY_COLLATERAL, market.params, assets, user, b"")

    @action(44, "Borrow")
    def borrow(self) -> bool:
        picked = self._pick(self.users, lambda position: position.collateral > 0)
        if picked is None:
            return False
        market, user, position = picked
        price, state = self._price(market), self.world.accrued_market(market, timestamp=self.now)
        if not price:
            return False
        limit = formulas.max_borrow(position.collateral, price, market.lltv)
        room = min(
            limit - formulas.debt(position, state),
            state.total_supply_assets - state.total_borrow_assets,
        )
        if room <= 10:
            return False
        # Most borrow nearly all they may, so that small moves matter.
        assets = self._fraction(room, *self.rng.choice([(0.2, 0.9), (0.97, 0.9999)]))
        sender = self._delegate_of(user)
        receiver = self.rng.choice([user, *self.users])
        if self.rng.random() < 0.2:
            shares = formulas.to_shares_down(
                assets, state.total_borrow_assets, state.total_borrow_shares
            )
            return self._send(sender, sig.BORROW, market.params, 0, shares, user, receiver)
        return self._send(sender, sig.BORROW, market.params, assets, 0, user, receiver)

    def _delegate_of(self, user: str) -> str:
        """The user, or sometimes another account that the user authorised."""
        other = self.rng.choice(self.users)
        allowed = self.world.read(
            self.world.core, "isAuthorized(address,address)", "bool", user, other
        )
        return other if allowed and self.rng.random() < 0.5 else user

    @action(14, "Repay")
    def repay(self) -> bool:
        picked = self._pick(self.users, lambda position: position.borrow_shares > 0)
        if picked is None:
            return False
        market, user, position = picked
        payer = self.rng.choice(self.users) if self.rng.random() < 0.15 else user
        if self.rng.random() < 0.4:
            shares = position.borrow_shares
            if self.rng.random() < 0.5:
                shares = self._fraction(shares, 0.05, 0.6)
            return self._send(payer, sig.REPAY, market.params, 0, shares, user, b"")
        state = self.world.accrued_market(market, timestamp=self.now)
        assets = self._fraction(formulas.debt(position, state), 0.05, 0.5)
        return self._send(payer, sig.REPAY, market.params, assets, 0, user, b"")

    @action(14, "WithdrawCollateral")
    def withdraw_collateral(self) -> bool:
        picked = self._pick(self.users, lambda position: position.collateral > 0)
        if picked is None:
            return False
        market, user, position = picked
        free = position.collateral
        if position.borrow_shares:
            price = self._price(market)
            if not price:
                return False
            state = self.world.accrued_market(market, timestamp=self.now)
            limit = formulas.max_borrow(position.collateral, price, market.lltv)
            owed = formulas.debt(position, state)
            if limit <= owed:
                return False
            free = position.collateral * (limit - owed) // limit
        if free == 0:
            return False
        assets = self._fraction(free, 0.1, 0.98)
        receiver = self.rng.choice([user, *self.users])
        return self._send(user, sig.WITHDRAW_COLLATERAL, market.params, assets, user, receiver)

    @action(24, "Liquidate")
    def liquidate(self) -> bool:
        unhealthy = self._unhealthy_positions()
        if not unhealthy:
            return False
        market, user, position = self.rng.choice(unhealthy)
        state = self.world.accrued_market(market, timestamp=self.now)
        seized, shares = full_liquidation(market, position, state, self._price(market))
        if shares and self.rng.random() < 0.5:
            shares = self._fraction(shares, 0.2, 0.8)
        elif seized and self.rng.random() < 0.3:
            seized = self._fraction(seized, 0.2, 0.8)
        return self._send(self.liquidator, sig.LIQUIDATE, market.params, user, seized, shares, b"")

    def _unhealthy_positions(self) -> list[tuple[MarketInfo, str, Position]]:
        found, head = [], self.world.chain.head.number
        for market in self._live_markets():
            price = self._price(market)
            if not price or market == self.brokered:
                continue
            state = self.world.accrued_market(market, timestamp=self.now)
            for user in self.users:
                position = self.world.position(market, user)
                if position.borrow_shares and not is_healthy(
                    self.world, market, user, position, state, price, head, self.now
                ):
                    found.append((market, user, position))
        return found

    @action(3)
    def accrue_interest(self) -> bool:
        """Also moves the last update of a market without a rate model, with no log at all."""
        market = self.rng.choice(self._live_markets())
        return self._send(self.rng.choice(self.users), sig.ACCRUE_INTEREST, market.params)

    @action(2, "FlashLoan")
    def flash_loan(self) -> bool:
        market = self._market()
        if market is None:
            return False
        held = self.world.read(
            market.loan.address, "balanceOf(address)", "uint256", self.world.core
        )
        if held == 0:
            return False
        self.world.send(
            self.rng.choice(self.users),
            self.world.flash_borrower,
            "borrow(address,address,uint256)",
            self.world.core,
            market.loan.address,
            self._fraction(held),
        )
        return True

    # MARK: prices

    @action(40)
    def move_price(self) -> bool:
        """A move of up to 12 %, seldom a crash; pulled back toward where it began."""
        token = self.rng.choice(list(self.world.tokens.values()))
        start = self.start_prices[token.symbol]
        if start == DOLLAR:
            factor = self.rng.uniform(0.995, 1.005)
        elif self.rng.random() < 0.12:
            factor = self.rng.uniform(0.55, 0.8)
        else:
            factor = self.rng.uniform(0.9, 1.11)
        price = int(self.dollars[token.symbol] * factor)
        price = max(start * 35 // 100, min(3 * start, price)) + self.rng.randrange(1000)
        return self.set_dollar_price(token, price)

    def set_dollar_price(self, token: TokenInfo, price: int) -> bool:
        """Sets a token's price on Moolah's oracle, or on all of Morpho's pair oracles."""
        self.dollars[token.symbol] = price
        if self.world.is_moolah:
            self.world.send(
                self.world.owner,
                self.world.oracle,
                "setPrice(address,uint256)",
                token.address,
                price,
            )
        else:
            self.world.set_pair_prices(self.dollars)
        return True

    @action(1, shapes=("moolah",))
    def price_goes_to_zero(self) -> bool:
        token = self.rng.choice(list(self.world.tokens.values()))
        self.world.send(
            self.world.owner, self.world.oracle, "setPrice(address,uint256)", token.address, 0
        )
        return True

    @action(2)
    def break_oracle(self) -> bool:
        market = self._market()
        return market is not None and self._set_broken(market, True)

    def _set_broken(self, market: MarketInfo, broken: bool) -> bool:
        if self.world.is_moolah:
            self.world.send(
                self.world.owner,
                self.world.oracle,
                "setBroken(address,bool)",
                self.rng.choice([market.loan, market.collateral]).address,
                broken,
            )
        else:
            self.world.send(self.world.owner, market.oracle, "setBroken(bool)", broken)
        return True

    def repair_oracles(self) -> None:
        """Brings back every oracle that broke or stands at zero."""
        world = self.world
        if not world.is_moolah:
            for market in self._live_markets():
                if world.read(market.oracle, "broken()", "bool"):
                    self._set_broken(market, False)
            return
        for token in world.tokens.values():
            if world.read(world.oracle, "broken(address)", "bool", token.address):
                world.send(
                    world.owner, world.oracle, "setBroken(address,bool)", token.address, False
                )
            elif world.dollar_price(token) == 0:
                self.set_dollar_price(token, self.start_prices[token.symbol])

    # MARK: markets and fees

    @action(1, "CreateMarket")
    def create_market(self) -> bool:
        if len(self.world.markets) >= 14:
            return False
        kinds = ["adaptive", "none"] + (["fixed"] if self.world.is_moolah else [])
        tokens = list(self.world.tokens.values())
        loan, collateral = self.rng.sample(tokens, 2)
        lltv = self.rng.choice(LLTVS)
        market = self.world.market_info(loan, collateral, self.rng.choice(kinds), lltv)
        if self.world.exists(market):
            return False
        self.world.remember(market)
        return self._send(self.world.owner, sig.CREATE_MARKET, market.params)

    @action(2, "SetFee")
    def set_fee(self) -> bool:
        market = self.rng.choice(self._live_markets())
        fee = self.rng.randrange(0, 250) * 10**15
        return self._send(self.world.owner, sig.SET_FEE, market.params, fee)

    @action(1, "SetFeeRecipient")
    def set_fee_recipient(self) -> bool:
        recipient = self.rng.choice([*self.fee_recipients, ZERO_ADDRESS])
        return self._send(self.world.owner, "setFeeRecipient(address)", recipient)

    @action(1, "EnableIrm")
    def enable_irm(self) -> bool:
        irm = account(f"irm-{self.rng.randrange(10**6)}")
        return self._send(self.world.owner, "enableIrm(address)", irm)

    @action(1, "EnableLltv")
    def enable_lltv(self) -> bool:
        return self._send(self.world.owner, "enableLltv(uint256)", self.rng.choice(_SPARE_LLTVS))

    @action(1, "SetDefaultMarketFee", shapes=("moolah",))
    def set_default_market_fee(self) -> bool:
        fee = self.rng.randrange(0, 200) * 10**15
        return self._send(self.world.owner, "setDefaultMarketFee(uint256)", fee)

    @action(1, "SetMinLoanValue", shapes=("moolah",))
    def set_min_loan_value(self) -> bool:
        value = self.rng.randrange(5, 40) * DOLLAR
        return self._send(self.world.owner, "setMinLoanValue(uint256)", value)

    # MARK: rate models

    @action(1, "BorrowRateCapUpdate", shapes=("moolah",))
    def update_rate_cap(self) -> bool:
        cap = self.rng.choice([0, WAD // 10, WAD // 2, 2 * WAD])
        return self._tune("updateRateCap(bytes32,uint256)", cap)

    @action(1, "BorrowRateFloorUpdate", shapes=("moolah",))
    def update_rate_floor(self) -> bool:
        return self._tune("updateRateFloor(bytes32,uint256)", self.rng.choice([0, WAD // 100]))

    def _tune(self, signature: str, yearly: int) -> bool:
        rated = [m for m in self._live_markets() if m.rate_kind != "none"]
        if not rated:
            return False
        market = self.rng.choice(rated)
        per_second = yearly // formulas.SECONDS_PER_YEAR
        self.world.send(self.world.owner, market.params[3], signature, market.id, per_second)
        return True

    @action(1, "MinCapUpdate", shapes=("moolah",))
    def update_min_cap(self) -> bool:
        irm = self.rng.choice([self.world.adaptive_irm, self.world.fixed_irm])
        cap = self.rng.choice([0, WAD // 20, WAD // 5]) // formulas.SECONDS_PER_YEAR
        self.world.send(self.world.owner, irm, "updateMinCap(uint256)", cap)
        return True

    @action(1, "SetBorrowRate", shapes=("moolah",))
    def set_borrow_rate(self) -> bool:
        fixed = [m for m in self._live_markets() if m.rate_kind == "fixed"]
        if not fixed:
            return False
        rate = self.rng.randrange(0, 40) * WAD // 100 // formulas.SECONDS_PER_YEAR
        self.world.send(
            self.world.owner,
            self.world.fixed_irm,
            "setBorrowRate(bytes32,int256)",
            self.rng.choice(fixed).id,
            rate,
        )
        return True

    # MARK: permissions

    @action(2, "SetAuthorization")
    def authorize(self) -> bool:
        user, other = self.rng.sample(self.users, 2)
        allowed = self.world.read(
            self.world.core, "isAuthorized(address,address)", "bool", user, other
        )
        return self._send(user, "setAuthorization(address,bool)", other, not allowed)

    @action(1, "IncrementNonce")
    def authorize_by_signature(self) -> bool:
        name = self.rng.choice(self.user_names)
        user, other = account(name), self.rng.choice(self.users)
        nonce = self.world.read(self.world.core, "nonce(address)", "uint256", user)
        wanted = (user, other, self.rng.random() < 0.7, nonce, self.now + 86_400)
        signature = signed_authorization(name, wanted, self.world.chain.chain_id, self.world.core)
        sender = self.rng.choice(self.users)
        return self._send(sender, sig.AUTHORIZE_BY_SIGNATURE, wanted, signature)

    @action(1, "SetOwner", shapes=("morpho",))
    def pass_ownership(self) -> bool:
        """Hands the core to an heir and straight back."""
        heir = account("heir")
        self._send(self.world.owner, "setOwner(address)", heir)
        return self._send(heir, "setOwner(address)", self.world.owner)

    @action(1, "Paused", "Unpaused", shapes=("moolah",))
    def pause(self) -> bool:
        return self._send(self.world.owner, "pause()")

    def unpause_if_paused(self) -> bool:
        if not self.world.is_moolah or not self.world.read(self.world.core, "paused()", "bool"):
            return False
        return self._send(self.world.owner, "unpause()")

    @action(1, "AddLiquidationWhitelist", shapes=("moolah",))
    def whitelist_liquidator(self) -> bool:
        market = self.rng.choice(self._live_markets())
        bot = self.rng.choice([self.liquidator, account("rival"), account("bot")])
        return self._send(
            self.world.owner, "addLiquidationWhitelist(bytes32,address)", market.id, bot
        )

    @action(1, "AddWhiteList", shapes=("moolah",))
    def whitelist_user(self) -> bool:
        market = self.rng.choice(self._live_markets())
        user = self.rng.choice(self.users)
        return self._send(self.world.owner, "addWhiteList(bytes32,address)", market.id, user)

    @action(1, "RemoveLiquidationWhitelist", "RemoveWhiteList", shapes=("moolah",))
    def shorten_whitelists(self) -> bool:
        """Takes one account off each list that has any."""
        if not self.world.is_moolah:
            return False
        shortened = False
        for market in self._live_markets():
            for getter, remover in _LISTS:
                listed = self.world.read(self.world.core, getter, "address[]", market.id)
                if listed:
                    chosen = self.rng.choice(listed)
                    shortened = self._send(self.world.owner, remover, market.id, chosen)
        return shortened

    @action(1, "AddProvider", "RemoveProvider", shapes=("moolah",))
    def change_provider(self) -> bool:
        """A provider of the loan token: it may borrow for others, and excludes nobody."""
        market = self.rng.choice(self._live_markets())
        token = market.loan.address
        provider = self.world.read(
            self.world.core, "providers(bytes32,address)", "address", market.id, token
        )
        if provider != ZERO_ADDRESS:
            return self._send(self.world.owner, "removeProvider(bytes32,address)", market.id, token)
        return self._send(
            self.world.owner,
            "addProvider(bytes32,address,address)",
            market.id,
            token,
            account("provider"),
        )

    @action(1, "SetVaultBlacklist", shapes=("moolah",))
    def change_vault_blacklist(self) -> bool:
        return self._send(
            self.world.owner,
            "setVaultBlacklist(address,bool)",
            self.rng.choice(self.users),
            self.rng.random() < 0.4,
        )

    @action(1, "SetFlashLoanTokenBlacklist", shapes=("moolah",))
    def change_flash_loan_blacklist(self) -> bool:
        return self._send(
            self.world.owner,
            "setFlashLoanTokenBlacklist(address,bool)",
            self.rng.choice(list(self.world.tokens.values())).address,
            self.rng.random() < 0.3,
        )

    # MARK: the broker's market

    @action(8, shapes=("moolah",))
    def use_broker(self) -> bool:
        """Collateral, a loan, a repayment or a write-down in the brokered market."""
        market = self.brokered
        if market is None:
            return False
        user = self.rng.choice(self.users)
        position = self.world.position(market, user)
        if position.collateral == 0:
            assets = self._amount(market.collateral, 2_000, 50_000)
            return self._send(user, sig.SUPPLY_COLLATERAL, market.params, assets, user, b"")
        if position.borrow_shares == 0:
            worth = formulas.max_borrow(position.collateral, self._price(market) or 0, market.lltv)
            self.world.send(user, self.broker, "borrow(uint256)", worth * 9 // 10)
        elif self.rng.random() < 0.4:
            self.world.send(user, self.broker, "writeDown(address)", user)
        else:
            state = self.world.market(market)
            third = formulas.debt(position, state) // 3
            self.world.send(user, self.broker, "repay(uint256)", third)
        return True

    @action(1, "SetMarketBroker", shapes=("moolah",))
    def change_broker(self) -> bool:
        """Gives a market without debt a broker, or takes it away again."""
        market = self._market()
        if market is None or self.world.market(market).total_borrow_shares:
            return False
        current = self.world.read(self.world.core, "brokers(bytes32)", "address", market.id)
        adding = current == ZERO_ADDRESS
        return self._send(
            self.world.owner,
            "setMarketBroker(bytes32,address,bool)",
            market.id,
            self.broker if adding else current,
            adding,
        )
