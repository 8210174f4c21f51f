"""Markets and borrowers that a test sets up by name, on a scenario's chain.

A scenario's own story is random; an incident is told. These are its further commands, each in one
block, `seconds` (default 12) after the last. Amounts are texts in whole tokens.

    {"do": "token", "symbol": "xUSD", "decimals": 18, "dollars": 100000000}
    {"do": "market", "loan": "USDC", "collateral": "xUSD", "lltv": 915, "rate": "adaptive",
     "oracle": "0x…", "lent": "1000000"}       the oracle defaults to Moolah's
    {"do": "loans", "market": "0x…", "loans": [["ann", "100", "80"]]}   collateral and debt
    {"do": "calls", "calls": [{"to": "0x…", "signature": "…", "arguments": []}]}   by the owner;
                                               numbers may be texts
    {"do": "withdraw", "market": "0x…", "keep": "1000"}    lenders leave so much unlent
    {"do": "liquidate", "market": "0x…", "users": ["0x…"]}     as much of each as covers it
    {"do": "verdicts", "market": "0x…", "block": 7}        the contract's word on every borrower
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from . import signatures as sig
from .abi import encode
from .accounts import account
from .encoding import ZERO_ADDRESS, keccak, to_hex
from .formulas import debt
from .transactions import Transaction
from .truth import full_liquidation, is_healthy
from .world import MarketInfo, TokenInfo, World


class Stage:
    """The told part of a scenario."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lender = account("stage-lender")
        self.liquidator = account("stage-liquidator")
        self.borrowers: dict[str, dict[str, str]] = {}
        self.commands: dict[str, Callable[..., dict[str, Any]]] = {
            "token": self.token,
            "market": self.market,
            "loans": self.loans,
            "calls": self.calls,
            "withdraw": self.withdraw,
            "liquidate": self.liquidate,
            "verdicts": self.verdicts,
        }

    # MARK: the beginning

    def token(self, symbol: str, decimals: int, dollars: int | None = None) -> dict[str, Any]:
        world = self.world
        token = world.add_token(symbol, decimals)
        if dollars is not None and world.is_moolah:
            world.send(
                world.owner, world.oracle, "setPrice(address,uint256)", token.address, dollars
            )
        world.fund([self.lender, self.liquidator], [token])
        return {"address": token.address}

    def market(
        self,
        loan: str,
        collateral: str,
        lltv: int,
        lent: str,
        rate: str = "adaptive",
        oracle: str | None = None,
        seconds: int = 12,
    ) -> dict[str, Any]:
        world, tokens = self.world, self.world.tokens
        models = {"adaptive": world.adaptive_irm, "fixed": world.fixed_irm, "none": ZERO_ADDRESS}
        params = (
            tokens[loan].address,
            tokens[collateral].address,
            oracle or world.oracle,
            models[rate],
            lltv * 10**15,
        )
        identity = to_hex(keccak(encode(sig.PARAMS, [params])))
        market = world.remember(
            MarketInfo(identity, params, tokens[loan], tokens[collateral], rate)
        )
        amount = _units(market.loan, lent)
        self._mine(
            seconds,
            world.send(world.owner, world.core, sig.CREATE_MARKET, market.params),
            self._supply(market, amount),
        )
        self.borrowers[market.id] = {}
        return {"market": market.id, "model": params[3]}

    def _supply(self, market: MarketInfo, amount: int) -> Transaction:
        return self.world.send(
            self.lender, self.world.core, sig.SUPPLY, market.params, amount, 0, self.lender, b""
        )

    def loans(
        self, market: str, loans: list[tuple[str, str, str]], seconds: int = 12
    ) -> dict[str, Any]:
        world, info = self.world, self.world.markets[market]
        sent = []
        for name, collateral, loan in loans:
            user = account(f"stage-{name}")
            pledged, owed = _units(info.collateral, collateral), _units(info.loan, loan)
            token = info.collateral.address
            steps = (
                (token, "mint(address,uint256)", user, pledged),
                (token, "approve(address,uint256)", world.core, pledged),
                (world.core, sig.SUPPLY_COLLATERAL, info.params, pledged, user, b""),
                (world.core, sig.BORROW, info.params, owed, 0, user, user),
            )
            sent += [world.send(user, *step) for step in steps]
            self.borrowers[market][name] = user
        self._mine(seconds, *sent)
        return {"users": self.borrowers[market]}

    # MARK: going on

    def calls(self, calls: list[dict[str, Any]], seconds: int = 12) -> dict[str, Any]:
        world = self.world
        sent = [
            world.send(
                world.owner, call["to"], call["signature"], *map(_word, call.get("arguments", []))
            )
            for call in calls
        ]
        self._mine(seconds, *sent)
        return {}

    def withdraw(self, market: str, keep: str, seconds: int = 12) -> dict[str, Any]:
        world, info = self.world, self.world.markets[market]
        state = world.accrued_market(info)
        unlent = state.total_supply_assets - state.total_borrow_assets
        assets = unlent - _units(info.loan, keep)
        self._mine(
            seconds,
            world.send(
                self.lender,
                world.core,
                sig.WITHDRAW,
                info.params,
                assets,
                0,
                self.lender,
                self.lender,
            ),
        )
        return {"withdrawn": str(assets)}

    def liquidate(self, market: str, users: list[str], seconds: int = 12) -> dict[str, Any]:
        world, info = self.world, self.world.markets[market]
        state, price = world.accrued_market(info), world.price(info)
        sent = []
        for user in users:
            position = world.position(info, user)
            seized, shares = full_liquidation(info, position, state, price)
            sent.append(
                world.send(
                    self.liquidator,
                    world.core,
                    sig.LIQUIDATE,
                    info.params,
                    user,
                    seized,
                    shares,
                    b"",
                )
            )
        self._mine(seconds, *sent)
        return {}

    # MARK: the contract's word

    def verdicts(self, market: str, block: int | None = None) -> dict[str, Any]:
        world, info = self.world, self.world.markets[market]
        number = world.chain.head.number if block is None else block
        at = world.chain.blocks[number].timestamp
        accrued, price = world.accrued_market(info, number, at), world.price(info, number, at)
        told = {}
        for user in self.borrowers[market].values():
            position = world.position(info, user, number)
            if position.borrow_shares:
                told[user] = {
                    "healthy": is_healthy(
                        world, info, user, position, accrued, price, number, at
                    ),
                    "debt": str(debt(position, accrued)),
                }
        return {"verdicts": told, "price": str(price)}

    def _mine(self, seconds: int, *sent: Transaction) -> None:
        chain = self.world.chain
        chain.set_next_timestamp(chain.head.timestamp + seconds)
        chain.mine()
        for item in sent:
            if item.hash not in chain.places:
                raise ValueError("a block is too small for these transactions")
            if self.world.receipt(item)["status"] != "0x1":
                raise ValueError(f"a transaction of {item.sender} to {item.to} reverted")


def _units(token: TokenInfo, amount: str) -> int:
    return int(Decimal(amount) * 10**token.decimals)


def _word(argument: Any) -> Any:
    """A number that JSON cannot hold comes as a text."""
    if isinstance(argument, str) and argument.lstrip("-").isdigit():
        return int(argument)
    return argument
