# @version 0.4.3
# Integer formulas of Moolah and Morpho Blue (MathLib, SharesMathLib): rounding is in the name.

WAD: constant(uint256) = 10**18
VIRTUAL_SHARES: constant(uint256) = 10**6
VIRTUAL_ASSETS: constant(uint256) = 1
LIQUIDATION_CURSOR: constant(uint256) = 3 * 10**17
MAX_INCENTIVE: constant(uint256) = 115 * 10**16


@pure
@internal
def mul_div_down(x: uint256, y: uint256, d: uint256) -> uint256:
    return x * y // d


@pure
@internal
def mul_div_up(x: uint256, y: uint256, d: uint256) -> uint256:
    return (x * y + (d - 1)) // d


@pure
@internal
def to_shares_down(assets: uint256, total_assets: uint256, total_shares: uint256) -> uint256:
    return self.mul_div_down(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


@pure
@internal
def to_shares_up(assets: uint256, total_assets: uint256, total_shares: uint256) -> uint256:
    return self.mul_div_up(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


@pure
@internal
def to_assets_down(shares: uint256, total_assets: uint256, total_shares: uint256) -> uint256:
    return self.mul_div_down(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


@pure
@internal
def to_assets_up(shares: uint256, total_assets: uint256, total_shares: uint256) -> uint256:
    return self.mul_div_up(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


@pure
@internal
def taylor_compounded(rate: uint256, seconds: uint256) -> uint256:
    # The first three terms of e^(rate * seconds) - 1.
    first: uint256 = rate * seconds
    second: uint256 = self.mul_div_down(first, first, 2 * WAD)
    third: uint256 = self.mul_div_down(second, first, 3 * WAD)
    return first + second + third


@pure
@internal
def incentive_factor(lltv: uint256) -> uint256:
    discount: uint256 = self.mul_div_down(LIQUIDATION_CURSOR, WAD - lltv, WAD)
    return min(MAX_INCENTIVE, self.mul_div_down(WAD, WAD, WAD - discount))
