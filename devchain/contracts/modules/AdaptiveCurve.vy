# @version 0.4.3
# The adaptive-curve rate of Morpho's AdaptiveCurveIrm and Lista's InterestRateModel, from the
# formulas. Signed divisions truncate toward zero.

WAD: constant(int256) = 10**18
CURVE_STEEPNESS: constant(int256) = 4 * 10**18
ADJUSTMENT_SPEED: constant(int256) = 50 * 10**18 // 31_536_000
TARGET_UTILIZATION: constant(int256) = 9 * 10**17
INITIAL_RATE_AT_TARGET: constant(int256) = 4 * 10**16 // 31_536_000
MIN_RATE_AT_TARGET: constant(int256) = 10**15 // 31_536_000
MAX_RATE_AT_TARGET: constant(int256) = 2 * 10**18 // 31_536_000
LN_2: constant(int256) = 693147180559945309
LN_WEI: constant(int256) = -41446531673892822312
EXP_LIMIT: constant(int256) = 93859467695000404319
EXP_AT_LIMIT: constant(int256) = 57716089161558943949701069502944508345128422502756744429568


@pure
@internal
def rates(
    total_supply: uint256, total_borrow: uint256, start: int256, elapsed: uint256
) -> (int256, int256):
    # (average rate over the elapsed time, rate at target at its end)
    err: int256 = self._error(total_supply, total_borrow)
    average: int256 = INITIAL_RATE_AT_TARGET
    end: int256 = INITIAL_RATE_AT_TARGET
    if start != 0:
        speed: int256 = ADJUSTMENT_SPEED * err // WAD
        adaptation: int256 = speed * convert(elapsed, int256)
        if adaptation == 0:
            average = start
            end = start
        else:
            end = self._moved(start, adaptation)
            middle: int256 = self._moved(start, adaptation // 2)
            average = (start + end + 2 * middle) // 4
    return self._curve(average, err), end


@pure
@internal
def _error(total_supply: uint256, total_borrow: uint256) -> int256:
    utilization: int256 = 0
    if total_supply > 0:
        utilization = convert(total_borrow * convert(WAD, uint256) // total_supply, int256)
    norm: int256 = TARGET_UTILIZATION
    if utilization > TARGET_UTILIZATION:
        norm = WAD - TARGET_UTILIZATION
    return (utilization - TARGET_UTILIZATION) * WAD // norm


@pure
@internal
def _curve(rate_at_target: int256, err: int256) -> int256:
    coefficient: int256 = CURVE_STEEPNESS - WAD
    if err < 0:
        coefficient = WAD - WAD * WAD // CURVE_STEEPNESS
    return (coefficient * err // WAD + WAD) * rate_at_target // WAD


@pure
@internal
def _moved(start: int256, adaptation: int256) -> int256:
    moved: int256 = start * self.exponential(adaptation) // WAD
    return max(MIN_RATE_AT_TARGET, min(MAX_RATE_AT_TARGET, moved))


@pure
@internal
def exponential(x: int256) -> int256:
    # e^x as 2^q * e^r with |r| <= ln 2 / 2, the latter to the second order.
    if x < LN_WEI:
        return 0
    if x >= EXP_LIMIT:
        return EXP_AT_LIMIT
    half: int256 = LN_2 // 2
    if x < 0:
        half = -(LN_2 // 2)
    q: int256 = (x + half) // LN_2
    r: int256 = x - q * LN_2
    near: int256 = WAD + r + r * r // WAD // 2
    if q >= 0:
        return near << convert(q, uint256)
    return near >> convert(-q, uint256)
