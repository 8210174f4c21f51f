# @version 0.4.3
# The price of collateral in loan tokens, scaled by 1e36: `price()` as Morpho's oracles have it.

currentPrice: uint256
broken: public(bool)


@deploy
def __init__(price: uint256):
    self.currentPrice = price


@external
def setPrice(price: uint256):
    self.currentPrice = price


@external
def setBroken(isBroken: bool):
    self.broken = isBroken


@view
@external
def price() -> uint256:
    assert not self.broken, "oracle broken"
    return self.currentPrice
