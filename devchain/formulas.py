"""Integer formulas of Moolah and Morpho Blue, in the contracts' own operation order.

Sources: `MathLib`, `SharesMathLib`, `Morpho._accrueInterest`, `Morpho.liquidate`, and the
adaptive-curve rate models. Every division names its rounding. Python's integers do not
overflow; callers that must revert on overflow check for it themselves.
"""

from __future__ import annotations

from typing import NamedTuple

WAD = 10**18
ORACLE_SCALE = 10**36
VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1
SECONDS_PER_YEAR = 31_536_000

CURVE_STEEPNESS = 4 * WAD
ADJUSTMENT_SPEED = 50 * WAD // SECONDS_PER_YEAR
TARGET_UTILIZATION = 9 * WAD // 10
INITIAL_RATE_AT_TARGET = 4 * WAD // 100 // SECONDS_PER_YEAR
MIN_RATE_AT_TARGET = WAD // 1000 // SECONDS_PER_YEAR
MAX_RATE_AT_TARGET = 2 * WAD // SECONDS_PER_YEAR
DEFAULT_RATE_CAP = 3 * WAD // 10 // SECONDS_PER_YEAR
MAX_FIXED_RATE = 8 * WAD // SECONDS_PER_YEAR

_LN_2 = 693147180559945309
_EXP_ZERO_BELOW = -41446531673892822312
_EXP_LIMIT = 93859467695000404319
_EXP_AT_LIMIT = 57716089161558943949701069502944508345128422502756744429568


class Market(NamedTuple):
    """The six words of `market(id)`."""

    total_supply_assets: int
    total_supply_shares: int
    total_borrow_assets: int
    total_borrow_shares: int
    last_update: int
    fee: int


class Position(NamedTuple):
    """The three words of `position(id, user)`."""

    supply_shares: int
    borrow_shares: int
    collateral: int


def mul_div_down(x: int, y: int, d: int) -> int:
    return x * y // d


def mul_div_up(x: int, y: int, d: int) -> int:
    return (x * y + d - 1) // d


def divide_toward_zero(x: int, y: int) -> int:
    """Solidity's signed division."""
    quotient = abs(x) // abs(y)
    return quotient if (x >= 0) == (y > 0) else -quotient


def to_shares_down(assets: int, total_assets: int, total_shares: int) -> int:
    return mul_div_down(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def to_shares_up(assets: int, total_assets: int, total_shares: int) -> int:
    return mul_div_up(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def to_assets_down(shares: int, total_assets: int, total_shares: int) -> int:
    return mul_div_down(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def to_assets_up(shares: int, total_assets: int, total_shares: int) -> int:
    return mul_div_up(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def taylor_compounded(rate: int, seconds: int) -> int:
    """Three terms of e^(rate * seconds) - 1."""
    first = rate * seconds
    second = first * first // (2 * WAD)
    third = second * first // (3 * WAD)
    return first + second + third


def accrued(market: Market, rate: int, timestamp: int) -> tuple[Market, int, int]:
    """The market at `timestamp` with the average `rate` since its last update.

    Also returns the interest and the fee shares that `AccrueInterest` would tell.
    """
    elapsed = timestamp - market.last_update
    interest = mul_div_down(market.total_borrow_assets, taylor_compounded(rate, elapsed), WAD)
    supply = market.total_supply_assets + interest
    fee_shares = 0
    if market.fee:
        fee = mul_div_down(interest, market.fee, WAD)
        fee_shares = to_shares_down(fee, supply - fee, market.total_supply_shares)
    later = Market(
        supply,
        market.total_supply_shares + fee_shares,
        market.total_borrow_assets + interest,
        market.total_borrow_shares,
        timestamp,
        market.fee,
    )
    return later, interest, fee_shares


def debt(position: Position, market: Market) -> int:
    """What the position owes, rounded up, as health sees it."""
    return to_assets_up(
        position.borrow_shares, market.total_borrow_assets, market.total_borrow_shares
    )


def max_borrow(collateral: int, price: int, lltv: int) -> int:
    """The debt up to which this collateral is enough."""
    return mul_div_down(mul_div_down(collateral, price, ORACLE_SCALE), lltv, WAD)


def pair_price(base: int, quote: int, loan_decimals: int, collateral_decimals: int) -> int:
    """Moolah's `getPrice` from the two tokens' dollar prices."""
    return 10 ** (36 + loan_decimals - collateral_decimals) * base // quote


def incentive_factor(lltv: int) -> int:
    """How much more than the repaid debt a liquidator seizes."""
    discount = mul_div_down(3 * WAD // 10, WAD - lltv, WAD)
    return min(115 * WAD // 100, WAD * WAD // (WAD - discount))


def seized_for(repaid_shares: int, market: Market, lltv: int, price: int) -> int:
    """The collateral that `liquidate` gives for these shares."""
    assets = to_assets_down(repaid_shares, market.total_borrow_assets, market.total_borrow_shares)
    return mul_div_down(mul_div_down(assets, incentive_factor(lltv), WAD), ORACLE_SCALE, price)


def shares_for(seized: int, market: Market, lltv: int, price: int) -> int:
    """The shares that `liquidate` burns for this collateral."""
    quoted = mul_div_up(seized, price, ORACLE_SCALE)
    assets = mul_div_up(quoted, WAD, incentive_factor(lltv))
    return to_shares_up(assets, market.total_borrow_assets, market.total_borrow_shares)


def exponential(x: int) -> int:
    """`ExpLib.wExp`: 2^q * e^r with |r| <= ln 2 / 2, e^r to the second order."""
    if x < _EXP_ZERO_BELOW:
        return 0
    if x >= _EXP_LIMIT:
        return _EXP_AT_LIMIT
    half = _LN_2 // 2 if x >= 0 else -(_LN_2 // 2)
    q = divide_toward_zero(x + half, _LN_2)
    r = x - q * _LN_2
    near = WAD + r + r * r // WAD // 2
    return near << q if q >= 0 else near >> -q


class CurveBounds(NamedTuple):
    """Lista's limits on the adaptive curve; Morpho's model has none."""

    cap: int = 0
    min_cap: int = 0
    floor: int = 0


def adaptive_rate(
    market: Market, start: int, elapsed: int, bounds: CurveBounds | None
) -> tuple[int, int]:
    """The average rate over `elapsed` seconds, and the rate at target at their end."""
    utilization = 0
    if market.total_supply_assets:
        utilization = market.total_borrow_assets * WAD // market.total_supply_assets
    above = utilization > TARGET_UTILIZATION
    norm = WAD - TARGET_UTILIZATION if above else TARGET_UTILIZATION
    error = divide_toward_zero((utilization - TARGET_UTILIZATION) * WAD, norm)
    average = end = start or INITIAL_RATE_AT_TARGET
    adaptation = divide_toward_zero(ADJUSTMENT_SPEED * error, WAD) * elapsed
    if start and adaptation:
        end = _moved(start, adaptation)
        middle = _moved(start, divide_toward_zero(adaptation, 2))
        average = (start + end + 2 * middle) // 4
    slope = WAD - WAD * WAD // CURVE_STEEPNESS if error < 0 else CURVE_STEEPNESS - WAD
    rate = divide_toward_zero((divide_toward_zero(slope * error, WAD) + WAD) * average, WAD)
    if bounds is None:
        return rate, end
    cap = max(bounds.cap or DEFAULT_RATE_CAP, bounds.min_cap)
    return max(min(rate, cap), bounds.floor), min(max(end, bounds.floor * 4), cap // 4)


def fixed_rate(stored: int, bounds: CurveBounds) -> int:
    """Lista's FixedRateIrm."""
    cap = max(bounds.cap or MAX_FIXED_RATE, bounds.min_cap)
    return max(min(stored, MAX_FIXED_RATE, cap), bounds.floor)


def _moved(start: int, adaptation: int) -> int:
    moved = divide_toward_zero(start * exponential(adaptation), WAD)
    return max(MIN_RATE_AT_TARGET, min(MAX_RATE_AT_TARGET, moved))
