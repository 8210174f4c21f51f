"""The views of a recorded chain's contracts, at any block, from its mirror.

What the logs do not hold: Morpho's prices before the first Chainlink round (the first hour's are
used), a fixed rate that was set without a log (the recorded one is used), and prices of a bare
log stream (its oracle reverts, as one without a price does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .. import formulas
from .. import signatures as sig
from ..abi import AbiError, decode, encode, parameters_of, parse_types, selector, topic
from ..encoding import ZERO_ADDRESS, keccak, to_hex
from ..formulas import CurveBounds, Market
from ..reverts import Revert, custom_error, error_string, panic
from .brokers import Brokers, Loans, user_peek
from .history import History
from .mirror import Mirror
from .recording import RecordedMarket, Recording

_ANSWER_UPDATED = topic(sig.EVENTS["AnswerUpdated"])
Params = list[Any] | tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by whom a call is made. `block` counts in the recording, `number` as served."""

    block: int
    timestamp: int
    number: int
    sender: str = ZERO_ADDRESS


class CannotAnswer(Exception):
    """The contract exists on the real chain, but the recording cannot tell what it says."""


@dataclass(slots=True)
class View:
    """One function: its types, and how it is computed (None: only the real chain knows)."""

    signature: str
    returns: str
    compute: Callable[..., Any] | None


@dataclass(slots=True)
class Contract:
    """One address. A `closed` contract has no other functions, so they really revert."""

    name: str
    closed: bool
    views: dict[bytes, View] = field(default_factory=dict)


class ContractTable:
    """Contracts by address, with the calls that were made to them."""

    def __init__(self) -> None:
        self.contracts: dict[str, Contract] = {}
        self.asked: Counter[str] = Counter()

    def contract(self, address: str, name: str, *, closed: bool = False) -> Contract:
        """The contract at this address, made when it is new."""
        return self.contracts.setdefault(address, Contract(name, closed))

    def call(self, address: str, data: bytes, moment: Moment) -> bytes:
        """What the contract answers; raises `Revert` or `CannotAnswer`."""
        contract = self.contracts.get(address)
        if contract is None:
            return b""  # No code: the call succeeds with no data.
        if len(data) < 4:
            raise Revert
        view = contract.views.get(data[:4])
        if view is None and contract.closed:
            raise Revert
        if view is None or view.compute is None:
            name = view.signature if view else f"selector 0x{data[:4].hex()}"
            raise CannotAnswer(f"cannot answer {name} on {address} ({contract.name})")
        self.asked[f"{contract.name}.{view.signature}"] += 1
        try:
            arguments = decode(parameters_of(view.signature), data[4:])
        except AbiError as error:
            raise Revert from error
        try:
            result = view.compute(moment, *arguments)
            single = len(parse_types(view.returns)) == 1
            return encode(view.returns, [result] if single else result)
        except ZeroDivisionError as error:
            raise panic(0x12) from error
        except OverflowError as error:
            raise panic(0x11) from error


class Answers(ContractTable):
    """All contracts of a recording."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        models = {recording.adaptive_irm, recording.fixed_irm} - {""}
        self.mirror = Mirror(recording.core, models, moolah=recording.is_moolah)
        self.prices: History[str, int] = History()
        self.brokers = Brokers(
            recording.brokers, recording.rate_calculator, recording.core, self.mirror.positions
        )
        self._replay()
        self._describe_contracts()

    # MARK: replay

    def _replay(self) -> None:
        recording = self.recording
        for oracle, price in recording.first_prices.items():
            self.prices.set(oracle, 0, price)
        for market in recording.markets:
            if market.fixed_rate is not None:
                self.mirror.fixed_rates.set(market.id, 0, market.fixed_rate)
        for block, token, price in recording.peeks:
            # Before the first answer the first one is used.
            self.prices.set(token, 0 if token not in self.prices else block, price)
        transactions: dict[str, list[dict[str, Any]]] = {}
        for entry in recording.logs:
            transactions.setdefault(entry["transactionHash"], []).append(entry)
        for entry in recording.logs:
            block = int(entry["blockNumber"], 16)
            timestamp = recording.blocks[block]["timestamp"]
            self.mirror.apply(entry, block, timestamp)
            self.brokers.apply(entry, transactions[entry["transactionHash"]], block, timestamp)
            if entry["address"] in recording.aggregators and entry["topics"]:
                self._take_round(entry, block)
        last = recording.blocks[-1]
        for market in recording.markets:
            if market.final and not int(market.irm, 16):
                # Without a rate model an accrual leaves no log; the final word is recorded.
                self.mirror.touch(market.id, last["number"], market.final[4])

    def _take_round(self, entry: dict[str, Any], block: int) -> None:
        if entry["topics"][0] != _ANSWER_UPDATED:
            return
        feed = self.recording.aggregators[entry["address"]]
        for market in self.recording.markets:
            if market.feed == feed and market.oracle:
                scale = 10 ** (28 + self._decimals(market, 0) - self._decimals(market, 1))
                self.prices.set(market.oracle, block, int(entry["topics"][1], 16) * scale)

    def _decimals(self, market: RecordedMarket, index: int) -> int:
        token = self.mirror.params[market.id][index]
        return self.recording.tokens[token][1]

    # MARK: what the contracts compute

    def rate(self, model: str, market_id: str, market: Market, moment: Moment) -> int:
        """`borrowRateView` of a market in the given state."""
        mirror, block = self.mirror, moment.block
        bounds = CurveBounds(
            mirror.bounds.at((model, "cap", market_id), block, 0),
            mirror.bounds.at((model, "min_cap", ""), block, 0),
            mirror.bounds.at((model, "floor", market_id), block, 0),
        )
        if model == self.recording.fixed_irm:
            return formulas.fixed_rate(mirror.fixed_rates.at(market_id, block, 0), bounds)
        start = mirror.rates_at_target.at(market_id, block, 0)
        elapsed = moment.timestamp - market.last_update
        limits = bounds if self.recording.is_moolah else None
        return formulas.adaptive_rate(market, start, elapsed, limits)[0]

    def accrued(self, market_id: str, moment: Moment) -> Market:
        """The market with interest up to the moment."""
        market = self.mirror.market(market_id, moment.block)
        irm = self.mirror.market_params(market_id, moment.block)[3]
        if moment.timestamp <= market.last_update:
            return market
        known = int(irm, 16) != 0
        rate = self.rate(irm, market_id, market, moment) if known else 0
        return formulas.accrued(market, rate, moment.timestamp)[0]

    def price(self, params: Params, moment: Moment) -> int:
        if self.recording.is_moolah:
            loan, collateral = self.peek(params[0], moment), self.peek(params[1], moment)
            return self._pair_price(params, collateral, loan)
        return self.prices.at(params[2], moment.block, 0)

    def peek(self, token: str, moment: Moment) -> int:
        """A token's price in 8 decimals."""
        if token not in self.prices:
            raise error_string("invalid resilient oracle price")
        return self.prices.at(token, moment.block)

    def user_price(self, broker: str, user: str, params: Params, moment: Moment) -> int:
        """The pair's price for a broker's user."""
        collateral = self.user_peek(broker, params[1], user, moment)
        return self._pair_price(params, collateral, self.peek(params[0], moment))

    def user_peek(self, broker: str, token: str, user: str, moment: Moment) -> int:
        """`peek(token, user)` of a broker."""
        market_id = self.recording.brokers[broker]
        params = self.mirror.market_params(market_id, moment.block)
        if token != params[1]:
            return self.peek(token, moment)
        market = self.mirror.market(market_id, moment.block)
        position = self.mirror.position(market_id, user, moment.block)
        beyond = self.broker_debt(broker, user, moment) - formulas.debt(position, market)
        decimals = tuple(self.recording.tokens[token][1] for token in params[:2])
        return user_peek(
            self.peek(params[1], moment),
            self.peek(params[0], moment),
            max(0, beyond),
            position.collateral,
            decimals,
        )

    def broker_debt(self, broker: str, user: str, moment: Moment) -> int:
        debt = self.brokers.debt(broker, user, moment.block, moment.timestamp)
        if debt is None:
            raise error_string("RateCalculator/broker-not-active")
        return debt

    def _pair_price(self, params: Params, collateral_peek: int, loan_peek: int) -> int:
        loan, collateral = (self.recording.tokens[token][1] for token in params[:2])
        return 10 ** (36 + loan - collateral) * collateral_peek // loan_peek

    def is_healthy(
        self, params: Params, market_id: str, user: str, market: Market, moment: Moment
    ) -> bool:
        position = self.mirror.position(market_id, user, moment.block)
        if position.borrow_shares == 0:
            return True
        limit = formulas.max_borrow(position.collateral, self.price(params, moment), params[4])
        broker = self.mirror.settings.at(("broker", market_id), moment.block, ZERO_ADDRESS)
        if int(broker, 16):
            return limit >= self.broker_debt(broker, user, moment)
        return limit >= formulas.debt(position, market)

    def liquidate(
        self, moment: Moment, params: Params, user: str, seized: int, shares: int, _: bytes
    ) -> tuple[int, int]:
        """The answer of a simulated `liquidate` by someone with the tokens and approvals."""
        market_id = id_of(params)
        if self.mirror.settings.at(("broker", market_id), moment.block, ZERO_ADDRESS) in (
            self.recording.brokers
        ):
            raise CannotAnswer(f"cannot simulate a liquidation in broker market {market_id}")
        self._check_may_liquidate(market_id, moment)
        if (seized == 0) == (shares == 0):
            raise error_string("inconsistent input")
        market = self.accrued(market_id, moment)
        price = self.price(params, moment)
        position = self.mirror.position(market_id, user, moment.block)
        if self.is_healthy(params, market_id, user, market, moment):
            raise error_string("position is healthy")
        if seized:
            shares = formulas.shares_for(seized, market, params[4], price)
        else:
            seized = formulas.seized_for(shares, market, params[4], price)
        repaid = formulas.to_assets_up(
            shares, market.total_borrow_assets, market.total_borrow_shares
        )
        if shares > position.borrow_shares or seized > position.collateral:
            raise panic(0x11)
        return seized, repaid

    def _check_may_liquidate(self, market_id: str, moment: Moment) -> None:
        if self.mirror.settings.at("paused", moment.block, False):
            raise custom_error("EnforcedPause()")
        listed = self.mirror.lists.at(("liquidators", market_id), moment.block, ())
        if listed and moment.sender not in listed:
            raise error_string("not liquidation whitelist")
        if self.mirror.created.get(market_id, moment.block + 1) > moment.block:
            raise error_string("market not created")

    # MARK: the contracts

    def _describe_contracts(self) -> None:
        recording = self.recording
        core = self.contract(recording.core, "Moolah" if recording.is_moolah else "Morpho")
        self._describe_core(core)
        if recording.is_moolah:
            self._describe_moolah(core)
        for model in (recording.adaptive_irm, recording.fixed_irm):
            if model:
                self._describe_rate_model(model)
        for oracle in {m.oracle for m in recording.markets if m.oracle}:
            self._describe_oracle(oracle)
        if recording.rate_calculator:
            self._describe_calculator(recording.rate_calculator)
        for broker, market_id in recording.brokers.items():
            self._describe_broker(broker, market_id)
        for address, (symbol, decimals) in recording.tokens.items():
            self._describe_token(address, symbol, decimals)

    def _describe_core(self, core: Contract) -> None:
        mirror = self.mirror
        setting = mirror.settings.at
        add_view(
            core,
            "market(bytes32)",
            sig.MARKET_WORDS,
            lambda m, market_id: mirror.market(market_id, m.block),
        )
        add_view(
            core,
            "position(bytes32,address)",
            sig.POSITION_WORDS,
            lambda m, market_id, user: mirror.position(market_id, user, m.block),
        )
        add_view(
            core,
            "idToMarketParams(bytes32)",
            "address,address,address,address,uint256",
            lambda m, market_id: mirror.market_params(market_id, m.block),
        )
        add_view(
            core,
            "feeRecipient()",
            "address",
            lambda m: setting("feeRecipient", m.block, ZERO_ADDRESS),
        )
        add_view(
            core,
            "isIrmEnabled(address)",
            "bool",
            lambda m, irm: setting(("irm", irm), m.block, False),
        )
        add_view(
            core,
            "isLltvEnabled(uint256)",
            "bool",
            lambda m, lltv: setting(("lltv", lltv), m.block, False),
        )
        add_view(
            core,
            "isAuthorized(address,address)",
            "bool",
            lambda m, a, b: setting(("authorized", a, b), m.block, False),
        )
        add_view(
            core, "nonce(address)", "uint256", lambda m, user: setting(("nonce", user), m.block, 0)
        )
        add_view(core, sig.ACCRUE_INTEREST, "", lambda _, __: [])
        add_view(core, sig.LIQUIDATE, "uint256,uint256", self.liquidate)
        if not self.recording.is_moolah:
            core.closed = True
            add_view(core, "DOMAIN_SEPARATOR()", "bytes32", None)
            add_view(core, "extSloads(bytes32[])", "bytes32[]", None)
            add_view(core, "owner()", "address", lambda m: setting("owner", m.block, ZERO_ADDRESS))

    def _describe_moolah(self, core: Contract) -> None:
        mirror = self.mirror
        setting = mirror.settings.at

        def stored_health(m: Moment, params: Params, market_id: str, user: str) -> bool:
            stored = mirror.market(market_id, m.block)
            return self.is_healthy(params, market_id, user, stored, m)

        add_view(
            core,
            "brokers(bytes32)",
            "address",
            lambda m, market_id: setting(("broker", market_id), m.block, ZERO_ADDRESS),
        )
        add_view(
            core,
            "providers(bytes32,address)",
            "address",
            lambda m, i, token: setting(("provider", i, token), m.block, ZERO_ADDRESS),
        )
        add_view(core, "paused()", "bool", lambda m: setting("paused", m.block, False))
        add_view(core, "minLoanValue()", "uint256", lambda m: setting("minLoanValue", m.block, 0))
        add_view(
            core, "defaultMarketFee()", "uint256", lambda m: setting("defaultMarketFee", m.block, 0)
        )
        add_view(
            core,
            "vaultBlacklist(address)",
            "bool",
            lambda m, user: setting(("vault", user), m.block, False),
        )
        add_view(
            core,
            "flashLoanTokenBlacklist(address)",
            "bool",
            lambda m, token: setting(("flash", token), m.block, False),
        )
        add_view(core, sig.GET_PRICE, "uint256", lambda m, params: self.price(params, m))
        add_view(core, sig.IS_HEALTHY, "bool", stored_health)
        for kind, ask, tell in (
            ("liquidators", "isLiquidationWhitelist", "getLiquidationWhitelist"),
            ("members", "isWhiteList", "getWhiteList"),
        ):
            add_view(core, f"{ask}(bytes32,address)", "bool", self._membership(kind))
            add_view(core, f"{tell}(bytes32)", "address[]", self._members(kind))

    def _membership(self, kind: str) -> Callable[[Moment, str, str], bool]:
        def admits(m: Moment, market_id: str, user: str) -> bool:
            listed = self.mirror.lists.at((kind, market_id), m.block, ())
            return not listed or user in listed

        return admits

    def _members(self, kind: str) -> Callable[[Moment, str], list[str]]:
        return lambda m, market_id: list(self.mirror.lists.at((kind, market_id), m.block, ()))

    def _describe_rate_model(self, model: str) -> None:
        """The September 2025 models: a cap, but neither floor nor least cap."""
        mirror, fixed = self.mirror, model == self.recording.fixed_irm
        contract = self.contract(model, "FixedRateIrm" if fixed else "Irm", closed=True)

        def rate(m: Moment, params: Params, market: list[int]) -> int:
            return self.rate(model, id_of(params), Market(*market), m)

        add_view(contract, sig.BORROW_RATE_VIEW, "uint256", rate)
        if fixed:
            add_view(
                contract,
                "borrowRateStored(bytes32)",
                "int256",
                lambda m, market_id: mirror.fixed_rates.at(market_id, m.block, 0),
            )
        else:
            add_view(
                contract,
                "rateAtTarget(bytes32)",
                "int256",
                lambda m, market_id: mirror.rates_at_target.at(market_id, m.block, 0),
            )
        if self.recording.is_moolah:
            add_view(
                contract,
                "rateCap(bytes32)",
                "uint256",
                lambda m, i: mirror.bounds.at((model, "cap", i), m.block, 0),
            )

    def _describe_oracle(self, oracle: str) -> None:
        contract = self.contract(oracle, "Oracle", closed=True)
        if not self.recording.is_moolah:
            add_view(contract, "price()", "uint256", lambda m: self.prices.at(oracle, m.block, 0))
            return

        add_view(contract, "peek(address)", "uint256", lambda m, token: self.peek(token, m))

    def _describe_calculator(self, calculator: str) -> None:
        contract = self.contract(calculator, "RateCalculator", closed=True)
        rows = self.brokers.rows

        def row(m: Moment, broker: str) -> list[int]:
            found = rows.at(broker, m.block)
            return list(found.__dict__.values()) if found else [0, 0, 0, 0]

        def rate(m: Moment, broker: str) -> int:
            found = rows.at(broker, m.block)
            if found is None:
                raise error_string("RateCalculator/broker-not-active")
            return found.index_at(m.timestamp)

        add_view(contract, "brokers(address)", "uint256,uint256,uint256,uint256", row)
        add_view(contract, "getRate(address)", "uint256", rate)

    def _describe_broker(self, broker: str, market_id: str) -> None:
        contract = self.contract(broker, "LendingBroker", closed=True)
        recording = self.recording

        def loans(m: Moment, user: str) -> Loans:
            return self.brokers.loans.at((broker, user), m.block, Loans())

        def dynamic(m: Moment, user: str) -> list[int]:
            found = loans(m, user)
            return [found.principal, found.normalized]

        words = ",".join(["uint256"] * 8)
        add_view(
            contract,
            "userFixedPositions(address)",
            f"({words})[]",
            lambda m, user: [term.words for term in loans(m, user).terms],
        )
        add_view(contract, "userDynamicPosition(address)", "uint256,uint256", dynamic)
        add_view(
            contract,
            "getUserTotalDebt(address)",
            "uint256",
            lambda m, user: self.broker_debt(broker, user, m),
        )
        add_view(contract, "peek(address)", "uint256", lambda m, token: self.peek(token, m))
        add_view(
            contract,
            "peek(address,address)",
            "uint256",
            lambda m, token, user: self.user_peek(broker, token, user, m),
        )
        for signature, value in (
            ("rateCalculator()", recording.rate_calculator),
            ("ORACLE()", recording.oracle),
            ("MOOLAH()", recording.core),
        ):
            add_view(contract, signature, "address", lambda _, value=value: value)
        add_view(contract, "MARKET_ID()", "bytes32", lambda _: market_id)

    def _describe_token(self, address: str, symbol: str, decimals: int) -> None:
        contract = self.contract(address, f"Token {symbol}", closed=True)
        add_view(contract, "name()", "string", lambda _: symbol)
        add_view(contract, "symbol()", "string", lambda _: symbol)
        add_view(contract, "decimals()", "uint8", lambda _: decimals)
        for signature in ("totalSupply()", "balanceOf(address)", "allowance(address,address)"):
            add_view(contract, signature, "uint256", None)


def add_view(
    contract: Contract, signature: str, returns: str, compute: Callable[..., Any] | None
) -> None:
    """Gives a contract one more function."""
    contract.views[selector(signature)] = View(signature, returns, compute)


def id_of(params: Params) -> str:
    """A market's id: the hash of its five parameters."""
    return _id_of(tuple(params))


@cache
def _id_of(params: tuple[str, str, str, str, int]) -> str:
    return to_hex(keccak(encode(sig.PARAMS, [params])))
