"""What the contracts themselves say at a block: the yardstick for the program's tables.

Every number is an answer of the EVM. `accrued` and `healthy` come from a call that accrues
first; `liquidation` is a simulated `liquidate` by a liquidator who holds the tokens.
"""

from __future__ import annotations

from typing import Any

from . import formulas
from . import signatures as sig
from .encoding import ZERO_ADDRESS
from .formulas import Market, Position
from .reverts import Revert, revert_text
from .world import MarketInfo, World


def truth(
    world: World, users: list[str], liquidator: str, block: int, timestamp: int | None = None
) -> dict[str, Any]:
    """All markets and positions at a block, accrued to `timestamp` (default: the block's)."""
    header = world.chain.blocks[block]
    at = header.timestamp if timestamp is None else timestamp
    told: dict[str, Any] = {
        "block": block,
        "hash": header.hash,
        "block_timestamp": header.timestamp,
        "timestamp": at,
        "fee_recipient": world.read(world.core, "feeRecipient()", "address", block=block),
        "markets": [
            _market_truth(world, market, users, liquidator, block, at)
            for market in world.markets.values()
            if world.exists(market, block)
        ],
    }
    if world.is_moolah:
        for name, signature, kind in _MOOLAH_GLOBALS:
            value = world.read(world.core, signature, kind, block=block)
            told[name] = value if kind == "bool" else str(value)
    return told


_MOOLAH_GLOBALS = (
    ("paused", "paused()", "bool"),
    ("min_loan_value", "minLoanValue()", "uint256"),
    ("default_market_fee", "defaultMarketFee()", "uint256"),
)


def _market_truth(
    world: World, market: MarketInfo, users: list[str], liquidator: str, block: int, at: int
) -> dict[str, Any]:
    stored = world.market(market, block)
    accrued = world.accrued_market(market, block, at)
    price, price_error = _price(world, market, block, at)
    loan, collateral, oracle, irm, lltv = market.params
    told = {
        "id": market.id,
        "loan_token": loan,
        "collateral_token": collateral,
        "oracle": oracle,
        "irm": irm,
        "lltv": str(lltv),
        "loan_decimals": market.loan.decimals,
        "collateral_decimals": market.collateral.decimals,
        "stored": _words(stored),
        "accrued": _words(accrued),
        "price": None if price is None else str(price),
        "price_error": price_error,
        "rate": _rate(world, market, stored, block, at),
    }
    if world.is_moolah:
        told["broker"] = world.read(
            world.core, "brokers(bytes32)", "address", market.id, block=block
        )
        told["open_to_all_liquidators"] = world.read(
            world.core,
            "isLiquidationWhitelist(bytes32,address)",
            "bool",
            market.id,
            ZERO_ADDRESS,
            block=block,
        )
    told["positions"] = [
        _position_truth(world, market, user, liquidator, accrued, price, block, at)
        for user in users
    ]
    return told


def _position_truth(
    world: World,
    market: MarketInfo,
    user: str,
    liquidator: str,
    accrued: Market,
    price: int | None,
    block: int,
    at: int,
) -> dict[str, Any]:
    position = world.position(market, user, block)
    told: dict[str, Any] = {
        "user": user,
        **_words(position),
        "borrowed": str(formulas.debt(position, accrued)),
    }
    if position.borrow_shares:
        told["healthy"] = is_healthy(world, market, user, position, accrued, price, block, at)
        told["liquidation"] = simulate_liquidation(
            world, market, user, position, accrued, price, liquidator, block, at
        )
    return told


def is_healthy(
    world: World,
    market: MarketInfo,
    user: str,
    position: Position,
    accrued: Market,
    price: int | None,
    block: int,
    at: int,
) -> bool | None:
    """The core's own verdict after accrual; None when there is no price."""
    if not world.is_moolah:
        if price is None:
            return None
        limit = formulas.max_borrow(position.collateral, price, market.lltv)
        return limit >= formulas.debt(position, accrued)
    try:
        return world.read(
            world.lens,
            f"healthyNow(address,{sig.PARAMS},bytes32,address)",
            "bool",
            world.core,
            market.params,
            market.id,
            user,
            block=block,
            timestamp=at,
        )
    except Revert:
        return None


def simulate_liquidation(
    world: World,
    market: MarketInfo,
    user: str,
    position: Position,
    accrued: Market,
    price: int | None,
    liquidator: str,
    block: int,
    at: int,
) -> dict[str, Any]:
    """Whether `liquidate` of the whole position succeeds, and in whose words it fails."""
    seized, shares = full_liquidation(market, position, accrued, price)
    outcome = world.attempt(
        world.core,
        sig.LIQUIDATE,
        market.params,
        user,
        seized,
        shares,
        b"",
        sender=liquidator,
        block=block,
        timestamp=at,
    )
    error = None if outcome.succeeded else outcome.halt or revert_text(outcome.output)
    return {"succeeds": outcome.succeeded, "error": error}


def full_liquidation(
    market: MarketInfo, position: Position, accrued: Market, price: int | None
) -> tuple[int, int]:
    """(seized assets, repaid shares) that close a position: all debt, or else all collateral."""
    if price:
        seized = formulas.seized_for(position.borrow_shares, accrued, market.lltv, price)
        if seized <= position.collateral:
            return 0, position.borrow_shares
    return (position.collateral, 0) if position.collateral else (0, position.borrow_shares)


def _price(world: World, market: MarketInfo, block: int, at: int) -> tuple[int | None, str | None]:
    try:
        return world.price(market, block, at), None
    except Revert as error:
        return None, str(error)


def _rate(world: World, market: MarketInfo, stored: Market, block: int, at: int) -> str | None:
    if market.rate_kind == "none":
        return None
    rate = world.read(
        market.params[3],
        sig.BORROW_RATE_VIEW,
        "uint256",
        market.params,
        stored,
        block=block,
        timestamp=at,
    )
    return str(rate)


def _words(words: Market | Position) -> dict[str, str]:
    return {name: str(value) for name, value in words._asdict().items()}
